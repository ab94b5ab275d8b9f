"""Owns what frames every screen: the line on top, the rail on the left, the keys at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.events import Resize
from textual.style import Style
from textual.widget import Widget

from flywizard.fronts import PAGES, TITLES, Header, Page, RailItem
from flywizard.tui.look import ACCENT, BAD, DIM, GOOD, RAIL_GLYPHS, STRONG, WARN, fit, joined, line, span

WIDE = 100
"""From this width on the rail stands on the left; below it folds into the header."""
BADGE = "bold $on-accent on $attention"


class HeaderBar(Widget):
    """One line: who and where we are, and whether it is a rehearsal."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="header")
        self._header = Header("")
        self._page: Page | None = None
        self._rail: Sequence[RailItem] = ()

    def draw(self, header: Header, page: Page | None, rail: Sequence[RailItem]) -> None:
        """Show these."""
        self._header, self._page, self._rail = header, page, rail
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Choose the other form."""
        self.refresh()

    def render(self) -> Content:
        """Draw the line, the project on the left, the place on the right."""
        header = self._header
        width = self.content_size.width
        folded = self.app.size.width < WIDE
        left = [
            ("flywizard", f"bold {ACCENT}"),
            (" ▪ ", DIM),
            span(header.project, STRONG if not folded else ""),
        ]
        right: list[tuple[str, str]] = []
        if folded:
            left += self._progress()
            badge = len(f" REHEARSAL  ×{header.speed:g}") if header.rehearsal else 0
            price = len(header.monthly) + 7
            if header.monthly and width - sum(cell_len(text) for text, _ in left) - badge > price:
                right += [span(header.monthly, STRONG), ("/month ", DIM)]
        else:
            place = " · ".join(x for x in (header.organization, header.region) if x)
            if place:
                right += [span(place, DIM), (" · " if header.rehearsal else "", DIM)]
        if header.rehearsal:
            right.append((" REHEARSAL ", BADGE))
            if header.speed != 1 and not folded:
                right.append((f" simulated waits ×{header.speed:g}", WARN))
            elif header.speed != 1 and width >= 60:
                right.append((f" ×{header.speed:g}", WARN))
        used = sum(cell_len(text) for text, _ in left)
        space = width - used - sum(cell_len(text) for text, _ in right)
        if space < 1:
            room = max(1, width - sum(cell_len(text) for text, _ in right) - 1)
            return Content.assemble(Content.assemble(*left).truncate(room, ellipsis=True), " ", *right)
        return Content.assemble(*left, " " * space, *right)

    def _progress(self) -> list[tuple[str, str]]:
        if self._page is None:
            return []
        at = PAGES.index(self._page)
        return [
            (f"  {at + 1} of {len(PAGES)} ", DIM),
            ("━" * at, GOOD),
            ("━", ACCENT),
            ("━" * (len(PAGES) - at - 1), DIM),
            (f" {TITLES[self._page]}", STRONG),
        ]


class Rail(Widget):
    """All steps with their answers, what it costs a month, where secrets are."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="rail")
        self._items: Sequence[RailItem] = ()
        self._header = Header("")

    def draw(self, header: Header, items: Sequence[RailItem]) -> None:
        """Show these."""
        self._header, self._items = header, items
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Fit the answers to the height."""
        self.refresh()

    def render(self) -> Content:
        """Draw the steps from the top and the foot at the bottom."""
        width, height = self.content_size
        if not width or not height:
            return Content("")
        foot = self._foot(width)
        answers = [index for index, item in enumerate(self._items) if item.answer]
        room = height - len(self._items) - len(foot) - 1
        shown = set(answers[-room:] if 0 < room < len(answers) else answers if room > 0 else ())
        rows: list[Content] = []
        for index, item in enumerate(self._items):
            glyph, colour = RAIL_GLYPHS[item.state]
            word = STRONG if item.state in ("current", "failed") else "" if item.state == "done" else DIM
            rows.append(Content.assemble((glyph, colour), " ", (fit(item.title, width - 2).rstrip(), word)))
            if index in shown:
                rows.append(Content.styled("  " + fit(item.answer, width - 2).rstrip(), DIM))
        rows += [Content("")] * max(0, height - len(rows) - len(foot))
        return joined((rows + foot)[:height])

    def _foot(self, width: int) -> list[Content]:
        header = self._header
        rows: list[Content] = []
        if header.monthly:
            rows += [
                Content.styled("per month", DIM),
                Content.assemble(span(header.monthly, STRONG), (" at most", DIM)),
            ]
        if header.secrets_place:
            if rows:
                rows.append(Content(""))
            mark = {True: (" ✓", GOOD), False: (" ✗", BAD), None: ("", "")}[header.secrets_ok]
            place = fit(header.secrets_place, width - 2).rstrip()
            rows += [Content.styled("secrets in", DIM), Content.assemble(place, mark)]
        return rows


class KeyBar(Widget):
    """The keys of the screen, as many as fit, the most important first; each can be clicked."""

    ALLOW_SELECT = False
    auto_links = False

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._keys: Sequence[tuple[str, str, str]] = ()

    def draw(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Show ``keys``: (key, words, action or nothing) each."""
        if tuple(keys) != tuple(self._keys):
            self._keys = tuple(keys)
            self.refresh()

    def on_resize(self, event: Resize) -> None:
        """More or fewer keys fit."""
        self.refresh()

    def render(self) -> Content:
        """Draw the line."""
        parts: list[tuple[str, str | Style] | Content] = []
        left = self.content_size.width
        for key, words, action in self._keys:
            need = cell_len(key) + 1 + cell_len(words) + 2
            if need > left + 2:
                break
            left -= need
            piece = Content.assemble((key, f"bold {ACCENT}"), " ", line(words))
            if action:
                piece = piece.stylize(Style.from_meta({"@click": action}))
            parts += [piece, ("  ", "")]
        return Content.assemble(*parts)
