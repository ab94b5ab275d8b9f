"""Owns the scrolling view of plain lines from which log, step tree, tables and diffs are made.

Textual's own Log starts a thread a line and RichLog renders at write; drawing only what is visible,
from plain strings, keeps a flood of lines from stopping the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flywizard.tui.look import line

Parts: TypeAlias = Sequence[tuple[str, str]]
"""A line as (text, role); a role is the last word of a component class such as ``dim``, or empty."""
ROLES = (
    "dim",
    "good",
    "bad",
    "attention",
    "accent",
    "strong",
    "sky",
    "pink",
    "mask",
    "found",
    "cursor",
    "head",
)


class LineView(ScrollView, can_focus=True):
    """Draws ``parts(index)`` for each visible line."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{role}" for role in ROLES}
    ALLOW_SELECT = False

    cursor: int | None = None
    """Index of the line that stands out, or None."""

    def count(self) -> int:
        """Return the number of lines."""
        raise NotImplementedError

    def parts(self, index: int) -> Parts:
        """Return one line."""
        raise NotImplementedError

    def widest(self) -> int:
        """Return the cells of the widest line; 0: nothing scrolls sideways."""
        return 0

    def measure(self) -> None:
        """Take the number of lines anew and draw."""
        size = Size(self.widest(), self.count())
        if size != self.virtual_size:
            self.virtual_size = size
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row of the window."""
        scroll_x, scroll_y = self.scroll_offset
        width = self.size.width
        index = scroll_y + y
        base = self.rich_style
        if index >= self.count():
            return Strip.blank(width, base)
        if index == self.cursor:
            base = base + self.get_component_rich_style("line--cursor")
        segments = []
        for text, role in self.parts(index):
            style = base
            if role:
                style = base + self.get_component_rich_style(f"line--{role}", partial=True)
            segments.append(Segment(line(text), style))
        strip = Strip(segments)
        return strip.crop_extend(scroll_x, scroll_x + width, base).apply_offsets(scroll_x, index)

    def show_line(self, index: int) -> None:
        """Scroll as little as needed to have the line in the window."""
        height = self.size.height
        top = self.scroll_offset.y
        if index < top:
            self.scroll_to(y=index, animate=False, immediate=True, force=True)
        elif height and index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False, immediate=True, force=True)
