"""Owns Home: what would you like to do?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from flywizard.fronts import HomeItem, HomeView
from flywizard.tui.look import ACCENT, DIM, STRONG, WARN, fit, joined, line
from flywizard.tui.screens.frame import Frame, buttons
from flywizard.tui.widgets.press import Press


class HomeList(Widget, can_focus=True):
    """The lines of Home."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Line up", show=False, id="home-up"),
        Binding("down", "move(1)", "Line down", show=False, id="home-down"),
        Binding("enter", "choose", "Choose", show=False, id="home-choose"),
    ]

    class Picked(Message):
        """A line was chosen."""

        def __init__(self, item: HomeItem) -> None:
            super().__init__()
            self.item = item

    def __init__(self, items: Sequence[HomeItem]) -> None:
        super().__init__(id="home-list")
        self._items = tuple(items)
        self._at = self._first()
        self.styles.height = len(items)

    def _first(self) -> int:
        return next((i for i, item in enumerate(self._items) if not item.disabled), 0)

    def draw(self, items: Sequence[HomeItem]) -> None:
        """Show these; the cursor stays on its line."""
        here = self._items[self._at].id if self._items else ""
        self._items = tuple(items)
        self._at = next((i for i, item in enumerate(items) if item.id == here), self._first())
        self.styles.height = len(items)
        self.refresh()

    def render(self) -> Content:
        """Draw the lines."""
        width = self.content_size.width
        title = max((cell_len(item.title) for item in self._items), default=0) + 4
        rows = []
        for index, item in enumerate(self._items):
            here = index == self._at
            style = DIM if item.disabled else f"{STRONG} {ACCENT}" if here else ""
            rows.append(
                Content.assemble(
                    ("▸ " if here else "  ", ACCENT),
                    (fit(item.title, title), style),
                    (fit(item.disabled or item.detail, max(0, width - 2 - title)).rstrip(), DIM),
                )
            )
        return joined(rows)

    def action_move(self, step: int) -> None:
        """Move to the next line that can be chosen."""
        at = self._at
        while 0 <= at + step < len(self._items):
            at += step
            if not self._items[at].disabled:
                self._at = at
                break
        self.refresh()

    def action_choose(self) -> None:
        """Tell the screen."""
        if self._items and not self._items[self._at].disabled:
            self.post_message(self.Picked(self._items[self._at]))

    def on_click(self, event: Click) -> None:
        """Choose the clicked line."""
        if 0 <= event.y < len(self._items) and not self._items[event.y].disabled:
            self._at = event.y
            self.refresh()
            self.action_choose()


class HomeScreen(Frame):
    """Home."""

    AUTO_FOCUS = "#home-list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "app.leave", "Quit", show=False, id="home-quit"),
        Binding("enter", "choose", "Continue", show=False, id="home-enter"),
    ]

    def body(self) -> Iterable[Widget]:
        """Title, evidence, notice, list."""
        view = self.wizard.home()
        yield Static(Content.styled("What would you like to do?", STRONG), id="title")
        yield Static(Content.styled(line(view.lede), DIM), id="lede")
        notice = Static(self._notice(view), id="notice")
        notice.display = bool(view.notice)
        yield notice
        yield HomeList(view.items)
        yield Static(id="fill")
        yield buttons(right=[Press("Continue", "continue", primary=True)])

    @staticmethod
    def _notice(view: HomeView) -> Content:
        return Content.assemble(("! ", WARN), (line(view.notice), STRONG)) if view.notice else Content("")

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the keys of Home."""
        return [
            ("↑↓", "choose", ""),
            ("enter", "continue", "screen.choose"),
            ("F1", "help", "app.help"),
            ("^p", "commands", "app.command_palette"),
            ("^l", "log", "app.show_log_path"),
            ("q", "quit", "app.leave"),
        ]

    def on_mount(self) -> None:
        """Draw from local state, then look further."""
        self.call_after_refresh(self._look)

    @work(group="home", exclusive=True, description="look for commits, drift and the keyring")
    async def _look(self) -> None:
        view = await self.wizard.home_live()
        if not self.stands():
            return
        self.query_one("#lede", Static).update(Content.styled(line(view.lede), DIM))
        notice = self.query_one("#notice", Static)
        notice.update(self._notice(view))
        notice.display = bool(view.notice)
        self.query_one(HomeList).draw(view.items)
        self.draw_frame()

    def action_choose(self) -> None:
        """Take the line under the cursor."""
        self.query_one(HomeList).action_choose()

    @on(Press.Pressed, "#continue")
    def _continue(self) -> None:
        self.action_choose()

    @on(HomeList.Picked)
    def _picked(self, event: HomeList.Picked) -> None:
        self.flywizard.choose(event.item.id)
