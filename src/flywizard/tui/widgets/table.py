"""Owns the Review's table: one line a row, a cursor, columns that share the width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from flywizard.fronts import ReviewRow
from flywizard.tui.look import STRONG, VERB_GLYPHS, fit
from flywizard.tui.widgets.line_view import LineView, Parts


def widths(total: int) -> tuple[int, int, int, int, int]:
    """Return the cells of verb, what, name, why and price for a table of ``total`` cells."""
    verb, price = 10, 9
    rest = max(24, total - verb - price - 2)
    what = max(rest * 26 // 100, min(17, rest // 3))
    name = rest * 36 // 100
    return verb, what, name, max(6, rest - what - name), price


class ReviewHead(Widget):
    """The line of column names."""

    ALLOW_SELECT = False

    def render(self) -> Content:
        """Draw the names over the columns."""
        verb, what, name, why, _ = widths(self.content_size.width)
        text = "  " + " " * verb + fit("what", what) + fit("name", name) + fit("why", why) + "a month"
        return Content.styled(text, STRONG)


class ReviewTable(LineView):
    """The rows of the Review."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Row up", show=False, id="row-up"),
        Binding("down", "move(1)", "Row down", show=False, id="row-down"),
        Binding("enter", "open", "Details", show=False, id="row-details"),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """Details of the row are wanted."""

    def __init__(self) -> None:
        super().__init__(id="review-table")
        self.rows: Sequence[ReviewRow] = ()
        self.cursor = 0

    @property
    def row(self) -> ReviewRow | None:
        """Return the row under the cursor."""
        at = self.cursor or 0
        return self.rows[at] if at < len(self.rows) else None

    def draw(self, rows: Sequence[ReviewRow]) -> None:
        """Show these."""
        self.rows = rows
        self.cursor = min(self.cursor or 0, max(0, len(rows) - 1))
        self.measure()
        self.post_message(self.Moved())

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def parts(self, index: int) -> Parts:
        """Draw one row."""
        row = self.rows[index]
        glyph, colour = VERB_GLYPHS.get(row.verb, ("·", "dim"))
        verb, what, name, why, price = widths(self.size.width)
        if row.irreversible:
            glyph, colour = "!", "bad"
        return [
            (f" {glyph} ", colour),
            (fit(row.verb, verb - 1), "dim" if row.verb in ("reuse", "skip") else ""),
            (fit(row.what, what - 1) + " ", ""),
            (fit(row.name, name - 1) + " ", ""),
            (fit(row.why, why - 1) + " ", "dim"),
            (fit(row.price, price), ""),
        ]

    def action_move(self, step: int) -> None:
        """Move the cursor and keep it in the window."""
        self.cursor = max(0, min(len(self.rows) - 1, (self.cursor or 0) + step))
        self.show_line(self.cursor)
        self.refresh()
        self.post_message(self.Moved())

    def action_open(self) -> None:
        """Ask for the details."""
        self.post_message(self.Opened())

    def on_click(self, event: Click) -> None:
        """Move the cursor to the clicked row."""
        self.action_move(self.scroll_offset.y + event.y - (self.cursor or 0))
