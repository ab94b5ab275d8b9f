"""Owns the ways to choose: a short list in place, a row that opens a list, and yes or no."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Blur, Click, Focus
from textual.message import Message
from textual.widget import Widget

from flywizard.fronts import Choice
from flywizard.tui.look import ACCENT, DIM, GOOD, STRONG, fit, joined, line


class Chosen(Message):
    """A choice was made in a field."""

    def __init__(self, widget: Widget, value: str) -> None:
        super().__init__()
        self.widget = widget
        self.value = value


class ChoiceList(Widget, can_focus=True):
    """All choices in place; the arrows choose, as in any group of radio buttons."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Choice above", show=False, id="choice-up"),
        Binding("down,space", "move(1)", "Choice below", show=False, id="choice-down"),
    ]

    def __init__(self, choices: tuple[Choice, ...], value: str) -> None:
        super().__init__(classes="control choices")
        self.choices = choices
        self.value = value
        self.styles.height = len(choices)

    def draw(self, choices: tuple[Choice, ...], value: str) -> None:
        """Show these."""
        self.choices, self.value = choices, value
        self.styles.height = len(choices)
        self.refresh()

    def on_focus(self, event: Focus) -> None:
        """Show where the keys go."""
        self.refresh()

    def on_blur(self, event: Blur) -> None:
        """The keys go elsewhere."""
        self.refresh()

    def render(self) -> Content:
        """Draw one line a choice: mark, label, detail, price."""
        width = self.content_size.width
        label_width = max((cell_len(c.label) for c in self.choices), default=0) + 2
        price_width = max((cell_len(c.price) for c in self.choices), default=0)
        rows = []
        for choice in self.choices:
            chosen = choice.value == self.value
            detail = choice.disabled or choice.detail
            price = f"{line(choice.price):>{price_width}} " if choice.price else ""
            middle = max(0, width - 3 - label_width - cell_len(price))
            row = Content.assemble(
                (" ● " if chosen else " ○ ", GOOD if chosen else DIM),
                (fit(choice.label, label_width), DIM if choice.disabled else STRONG if chosen else ""),
                (fit(detail, middle), DIM),
                (price, "" if chosen else DIM),
            )
            if chosen:
                row = row.stylize("on $chosen" if self.has_focus else "on $field")
            rows.append(row)
        return joined(rows)

    def _choose(self, index: int) -> None:
        choice = self.choices[index]
        if choice.disabled or choice.value == self.value:
            return
        self.value = choice.value
        self.refresh()
        self.post_message(Chosen(self, choice.value))

    def action_move(self, step: int) -> None:
        """Choose the next one that can be chosen."""
        at = next((i for i, c in enumerate(self.choices) if c.value == self.value), -1 if step > 0 else 0)
        for offset in range(1, len(self.choices) + 1):
            index = (at + step * offset) % len(self.choices)
            if not self.choices[index].disabled:
                self._choose(index)
                return

    def on_click(self, event: Click) -> None:
        """Choose the clicked line."""
        if 0 <= event.y < len(self.choices):
            self._choose(event.y)


class Picker(Widget, can_focus=True):
    """One row that shows the choice; Space or Down opens the list."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,down", "open", "Choose", show=False, id="picker-open"),
        Binding("left", "move(-1)", "Choice before", show=False, id="picker-before"),
        Binding("right", "move(1)", "Choice after", show=False, id="picker-after"),
    ]

    class Opened(Message):
        """The list is wanted."""

        def __init__(self, picker: Picker) -> None:
            super().__init__()
            self.picker = picker

    def __init__(self, choices: tuple[Choice, ...], value: str) -> None:
        super().__init__(classes="control field")
        self.choices = choices
        self.value = value

    def draw(self, choices: tuple[Choice, ...], value: str) -> None:
        """Show these."""
        self.choices, self.value = choices, value
        self.refresh()

    def render(self) -> Content:
        """Draw label, detail and price of the choice."""
        width = self.content_size.width
        choice = next((c for c in self.choices if c.value == self.value), None)
        if choice is None:
            return Content.assemble(
                (fit(self.value or "choose…", width - 1), "" if self.value else DIM), ("▾", DIM)
            )
        words = " · ".join(x for x in (choice.label, choice.detail) if x)
        price = line(choice.price)
        room = max(1, width - 2 - cell_len(price))
        return Content.assemble(fit(words, room), (price, DIM), (" ▾", ACCENT if self.has_focus else DIM))

    def choose(self, value: str) -> None:
        """Take a choice."""
        if value != self.value:
            self.value = value
            self.refresh()
            self.post_message(Chosen(self, value))

    def action_move(self, step: int) -> None:
        """Take the neighbour that can be chosen."""
        open_ = [c for c in self.choices if not c.disabled]
        if open_:
            at = next((i for i, c in enumerate(open_) if c.value == self.value), 0)
            self.choose(open_[(at + step) % len(open_)].value)

    def action_open(self) -> None:
        """Ask the screen for the list."""
        self.post_message(self.Opened(self))

    def on_click(self, event: Click) -> None:
        """Open the list."""
        self.action_open()


class Toggle(Widget, can_focus=True):
    """Yes or no, in words."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,left,right", "change", "Change", show=False, id="toggle")
    ]

    def __init__(self, value: str) -> None:
        super().__init__(classes="control field")
        self.value = value

    def draw(self, value: str) -> None:
        """Show it."""
        self.value = value
        self.refresh()

    def render(self) -> Content:
        """Draw both, the chosen one marked."""
        yes = self.value == "true"
        return Content.assemble(
            ("● " if yes else "○ ", GOOD if yes else DIM),
            ("yes", STRONG if yes else DIM),
            ("   ○ " if yes else "   ● ", DIM if yes else GOOD),
            ("no", DIM if yes else STRONG),
        )

    def action_change(self) -> None:
        """Change it."""
        self.value = "false" if self.value == "true" else "true"
        self.refresh()
        self.post_message(Chosen(self, self.value))

    def on_click(self, event: Click) -> None:
        """Change it."""
        self.action_change()
