"""Owns Done: what came of it, where it is, and what can be done next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from flywizard.fronts import Page
from flywizard.tui import words
from flywizard.tui.look import DIM, GOOD, STRONG, line
from flywizard.tui.screens.dialogs import Reader
from flywizard.tui.screens.frame import PAGES_CSS, Frame, buttons
from flywizard.tui.widgets.press import Press


class DoneScreen(Frame):
    """Done."""

    CSS_PATH = PAGES_CSS
    AUTO_FOCUS = "#end"
    page: Page | None = "done"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,q,escape", "end", "End", show=False, id="done-end"),
        Binding("c", "copy", "Copy", show=False, id="done-copy"),
        Binding("down", "scroll('down')", "Down", show=False, id="done-down"),
        Binding("up", "scroll('up')", "Up", show=False, id="done-up"),
        *(Binding(str(n), f"open({n})", f"Open {n}", show=False, id=f"done-open-{n}") for n in range(1, 10)),
    ]

    def body(self) -> Iterable[Widget]:
        """Title, everything, one button."""
        summary = self.wizard.summary()
        yield Static(Content.assemble(("✓ ", GOOD), (line(summary.title), STRONG)), id="title")
        yield Static(Content.styled("the same is printed when this screen closes", DIM), id="lede")
        with VerticalScroll(id="form", can_focus=False):
            yield Static(id="summary")
        yield buttons(right=[Press("End", "end", primary=True)])

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the keys of Done."""
        return [
            ("enter", "end", "screen.end"),
            ("1", "open the first address", "screen.open(1)"),
            ("c", "copy", "screen.copy"),
            ("↑↓", "scroll", ""),
            ("^l", "log", "app.show_log_path"),
            ("F1", "help", "app.help"),
        ]

    def on_mount(self) -> None:
        """Draw the summary."""
        self.call_after_refresh(self._draw)

    def on_resize(self, event: Resize) -> None:
        """Lay the times out by width."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        width = max(30, self.query_one("#form").content_size.width)
        self.query_one("#summary", Static).update(words.summary(self.wizard.summary(), width))

    def action_open(self, number: int) -> None:
        """Open the address of that number."""
        urls = self.wizard.summary().urls
        if number <= len(urls):
            self.app.open_url(urls[number - 1][1])

    def action_scroll(self, way: str) -> None:
        """Scroll by one line."""
        self.query_one("#form").scroll_relative(y=1 if way == "down" else -1, animate=False)

    def action_copy(self) -> None:
        """Copy the summary, and show it as plain lines."""
        lines = self.wizard.summary().lines()
        self.app.copy_to_clipboard("\n".join(lines))
        self.app.push_screen(Reader("Summary", lines, foot="sent to the terminal's clipboard"))

    @on(Press.Pressed, "#end")
    def action_end(self) -> None:
        """End with success."""
        self.flywizard.finish()
