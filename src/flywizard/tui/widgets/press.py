"""Owns the one-row button; Textual's own costs three rows and a large sheet of styles."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from flywizard.tui.look import line


class Press(Widget, can_focus=True):
    """A button of one row."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "press", "Press", show=False, id="press")]

    class Pressed(Message):
        """The button was pressed."""

        def __init__(self, button: Press) -> None:
            super().__init__()
            self.button = button

        @property
        def control(self) -> Press:
            """Return the button, for ``@on`` selectors."""
            return self.button

    def __init__(
        self,
        label: str,
        ident: str | None = None,
        *,
        name: str | None = None,
        primary: bool = False,
        classes: str = "",
    ) -> None:
        super().__init__(id=ident, name=name, classes=f"{classes} -primary" if primary else classes)
        self._label = label

    @property
    def label(self) -> str:
        """Return the text on it."""
        return self._label

    @label.setter
    def label(self, text: str) -> None:
        if text != self._label:
            self._label = text
            self.refresh(layout=True)

    def render(self) -> Content:
        """Draw the label."""
        return Content(line(self._label))

    def action_press(self) -> None:
        """Tell the screen."""
        self.post_message(self.Pressed(self))

    def on_click(self, event: Click) -> None:
        """A click is a press."""
        event.stop()
        self.action_press()
