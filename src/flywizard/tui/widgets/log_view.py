"""Owns the log pane: lines of all sources, filtered by tab, with search, pause and a kept reading position."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.widget import Widget

from flywizard.tui.logbook import LIMIT, LogBook, LogLine
from flywizard.tui.look import ACCENT, DIM, STRONG, fit, line
from flywizard.tui.widgets.line_view import LineView, Parts
from flywizard.vault import MASK

ALL: Final = "all"
STEPS: Final = "steps"
COLOURS: Final = ("sky", "pink", "good", "attention", "accent")
_SLACK: Final = 5_000


class LogView(LineView):
    """The lines of one tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "tab(-1)", "Tab to the left", show=False, id="log-left"),
        Binding("right", "tab(1)", "Tab to the right", show=False, id="log-right"),
        Binding("shift+left", "scroll_left", "Scroll left", show=False, id="log-scroll-left"),
        Binding("shift+right", "scroll_right", "Scroll right", show=False, id="log-scroll-right"),
        Binding("space", "pause", "Pause", show=False, id="log-pause"),
        Binding("n", "find(1)", "Next match", show=False, id="log-next"),
        Binding("N,p", "find(-1)", "Match before", show=False, id="log-before"),
    ]

    class Changed(Message):
        """Tab, pause, or number of lines changed."""

    def __init__(self, book: LogBook, *, limit: int = LIMIT) -> None:
        super().__init__(id="log")
        self.book = book
        self.limit = limit
        self.tab = ALL
        self.paused = False
        self.search = ""
        self.shown: list[LogLine] = []
        self._colours: dict[str, str] = {}
        self._widest = 0
        self.following = True
        """The window stays at the end until the user scrolls up."""
        self._moving = False

    def on_mount(self) -> None:
        """Begin with what the book already holds."""
        self.book.drain()
        self.rebuild()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up ends following, scrolling to the end begins it again."""
        super().watch_scroll_y(old_value, new_value)
        if not self._moving:
            self.following = new_value >= self.max_scroll_y - 1

    def on_resize(self, event: Resize) -> None:
        """Stay at the end when that was shown."""
        if self.following:
            self._to_end()

    def _to_end(self) -> None:
        self._moving = True
        self.following = True
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self._moving = False

    def tabs(self) -> list[str]:
        """Return the names of the tabs: all, the services, the steps' own output."""
        services = [name for name, service in self.book.sources.items() if service]
        steps = [STEPS] if any(not service for service in self.book.sources.values()) else []
        return [ALL, *services, *steps]

    def _wanted(self, entry: LogLine) -> bool:
        match self.tab:
            case "all":
                return True
            case "steps":
                return not entry.service
            case _:
                return entry.source == self.tab

    def rebuild(self) -> None:
        """Take the lines of the tab from the book, and go to the end."""
        self.shown = [entry for entry in self.book.lines if self._wanted(entry)]
        self._widest = max((self._width(entry) for entry in self.shown[-2000:]), default=0)
        self.measure()
        self._to_end()
        self.post_message(self.Changed())

    def feed(self) -> None:
        """Take the next batch from the book; called by the screen's timer."""
        if self.paused:
            return
        batch = self.book.drain()
        if batch:
            self.extend(batch)

    def extend(self, batch: Iterable[LogLine]) -> None:
        """Add lines at the end; the window follows only when the end was in it."""
        new = list(batch) if self.tab == ALL else [entry for entry in batch if self._wanted(entry)]
        follow = self.following
        self.shown += new
        dropped = 0
        if len(self.shown) > self.limit + _SLACK:
            dropped = len(self.shown) - self.limit
            del self.shown[:dropped]
        self._widest = max([self._widest, *(self._width(entry) for entry in new[-500:])])
        self.measure()
        if follow:
            self._to_end()
        elif dropped:
            self._moving = True
            self.scroll_to(y=max(0, self.scroll_offset.y - dropped), animate=False, immediate=True)
            self._moving = False
        self.post_message(self.Changed())

    @staticmethod
    def _width(entry: LogLine) -> int:
        return 9 + 13 + cell_len(entry.text) if len(entry.text) < 2000 else 2000

    def count(self) -> int:
        """Return the number of lines of the tab."""
        return len(self.shown)

    def widest(self) -> int:
        """Return the width to scroll over."""
        return self._widest

    def parts(self, index: int) -> Parts:
        """Draw time, source and text; masked values and matches stand out."""
        entry = self.shown[index]
        colour = self._colours.setdefault(entry.source, COLOURS[len(self._colours) % len(COLOURS)])
        text = line(entry.text)
        pieces: list[tuple[str, str]] = [(f"{entry.time} ", "dim"), (fit(entry.source, 12) + " ", colour)]
        pattern = re.escape(MASK)
        if self.search:
            pattern += "|" + re.escape(self.search)
        for piece in re.split(f"({pattern})", text, flags=re.IGNORECASE):
            if piece == MASK:
                pieces.append((piece, "mask"))
            elif self.search and piece.lower() == self.search.lower():
                pieces.append((piece, "found"))
            elif piece:
                pieces.append((piece, ""))
        return pieces

    def action_tab(self, step: int) -> None:
        """Go to the neighbouring tab."""
        tabs = self.tabs()
        at = tabs.index(self.tab) if self.tab in tabs else 0
        self.tab = tabs[(at + step) % len(tabs)]
        self.rebuild()

    def action_pause(self) -> None:
        """Stop or go on following; lines are kept meanwhile."""
        self.paused = not self.paused
        if not self.paused:
            self.feed()
        self.post_message(self.Changed())

    def look_for(self, text: str) -> bool:
        """Mark ``text`` everywhere and go to its last place; tell whether there is one."""
        self.search = text
        self.refresh()
        if not text:
            return False
        return self._jump(range(len(self.shown) - 1, -1, -1))

    def action_find(self, direction: int) -> None:
        """Go to the next or the former match."""
        here = self.scroll_offset.y
        if direction > 0:
            self._jump(range(here + 1, len(self.shown)))
        else:
            self._jump(range(here - 1, -1, -1))

    def _jump(self, order: Iterable[int]) -> bool:
        wanted = self.search.lower()
        if not wanted:
            return False
        for index in order:
            if wanted in self.shown[index].text.lower():
                self.scroll_to(y=index, animate=False, immediate=True)
                return True
        return False

    def text(self, limit: int | None = None) -> str:
        """Return the newest ``limit`` lines of the tab as plain text."""
        chosen = self.shown if limit is None else self.shown[-limit:]
        return "".join(f"{e.time} {e.source:<12} {line(e.text)}\n" for e in chosen)


class LogTitle(Widget):
    """The line above the log: tabs and the number of lines."""

    ALLOW_SELECT = False

    def __init__(self, view: LogView) -> None:
        super().__init__(id="log-title")
        self._view = view

    def render(self) -> Content:
        """Draw it over the whole width."""
        view = self._view
        width = self.content_size.width
        parts: list[tuple[str, str]] = [("── ", DIM)]
        for index, tab in enumerate(view.tabs()):
            if index:
                parts.append((" · ", DIM))
            parts.append(
                (
                    line(tab),
                    f"{STRONG} {ACCENT}"
                    if tab == view.tab and view.has_focus
                    else STRONG
                    if tab == view.tab
                    else DIM,
                )
            )
        words = f" {len(view.shown):,} lines ──"
        if view.paused:
            words = " paused ·" + words
        used = sum(cell_len(text) for text, _ in parts)
        rule = max(1, width - used - cell_len(words) - 1)
        return Content.assemble(*parts, (f" {'─' * rule}", DIM), (words, DIM))
