"""Owns the texts of the pages as styled content: checks, notes, tables, commands, problems, the summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from textual.content import Content

from flywizard.events import Problem
from flywizard.fronts import Check, Note, PageView, Summary
from flywizard.tui.look import (
    ACCENT,
    BAD,
    CHECK_GLYPHS,
    DIM,
    GOOD,
    NOTE_GLYPHS,
    SKY,
    STRONG,
    block,
    fit,
    joined,
    line,
    short,
    span,
    spinner,
    ticked,
)

WIDEST = 84
"""Cells after which the column of times does not move further from the words."""


def checks(items: Sequence[Check], width: int, now: float) -> Content:
    """Return one line a check (glyph, title, what it found, time) and below it what mends it."""
    title_width = min(max((cell_len(c.title) for c in items), default=0), max(12, width // 2)) + 2
    time_width = max((cell_len(short(c.seconds)) for c in items if c.seconds is not None), default=0)
    end = min(width, WIDEST)
    rows: list[Content] = []
    for check in items:
        glyph, colour = CHECK_GLYPHS[check.state]
        if check.state == "running":
            glyph = spinner(now)
        text = check.text or {"running": "checking…", "skipped": "skipped"}.get(check.state, "")
        time = "" if check.seconds is None else f"{short(check.seconds):>{time_width}}"
        title_style = (
            STRONG if check.state == "failed" else DIM if check.state in ("waiting", "skipped") else ""
        )
        room = max(8, end - 2 - title_width - (time_width + 2 if time_width else 0))
        text = line(text)
        below = cell_len(text) > room
        rows.append(
            Content.assemble(
                (glyph, colour),
                " ",
                (fit(check.title, title_width), title_style),
                ("" if below else text if not time else fit(text, room), DIM),
                (" " * room if below and time else "", ""),
                (f"  {time}" if time else "", DIM),
            )
        )
        if below:
            rows += _wrapped(text, end - 2, DIM)
        if check.fix and check.state in ("failed", "warn"):
            rows.append(Content.assemble("  ", ("hint: ", SKY), *ticked(check.fix)))
    return joined(rows)


def _wrapped(text: str, width: int, style: str) -> list[Content]:
    import textwrap

    return [Content.styled(f"  {piece}", style) for piece in textwrap.wrap(text, max(20, width))]


def notes(items: Iterable[Note]) -> Content:
    """Return one line a note."""
    rows = []
    for note in items:
        glyph, colour = NOTE_GLYPHS[note.kind]
        body = BAD if note.kind == "bad" else DIM if note.kind in ("info", "hint") else ""
        rows.append(Content.assemble((glyph, colour), " ", *ticked(note.text, body)))
    return joined(rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Content:
    """Return a small read-only table; the last column takes what is left and is cut."""
    if not rows:
        return Content("")
    count = max(len(columns), *(len(row) for row in rows))
    cells = [list(row) + [""] * (count - len(row)) for row in [columns, *rows]]
    sizes = [max(cell_len(line(row[i])) for row in cells) + 2 for i in range(count)]
    spare = width - sum(sizes)
    while spare < 0 and max(sizes) > 8:
        sizes[sizes.index(max(sizes))] -= 1
        spare += 1
    out = []
    if columns:
        out.append(
            Content.styled("".join(fit(c, s - 1) + " " for c, s in zip(cells[0], sizes, strict=True)), DIM)
        )
    for row in cells[1:]:
        parts = [
            (fit(c, s - 1) + " ", (STRONG if i == 0 else DIM if i == count - 1 else ""))
            for i, (c, s) in enumerate(zip(row, sizes, strict=True))
        ]
        out.append(Content.assemble(*parts))
    return joined(out)


def commands(items: Sequence[str], heading: str = "this step runs") -> Content:
    """Return the command box: commands with a prompt, sentences without."""
    rows = [Content.styled(line(heading), DIM)] if heading else []
    for item in items:
        words = line(item)
        if " " in words and words.split(" ", 1)[0] in (
            "fly",
            "flyctl",
            "docker",
            "psql",
            "git",
            "curl",
            "sh",
        ):
            rows.append(Content.assemble(("$ ", SKY), words))
        else:
            rows.append(Content.styled(words, DIM))
    return joined(rows)


def problem(item: Problem, *, keys: bool) -> Content:
    """Return a problem in fixed order: what happened, why, what to do; with ``keys`` the remedies are numbered."""
    rows = [Content.styled("What happened", STRONG), Content(block(item.what))] if keys else []
    if not keys:
        rows.append(Content.styled(block(item.what), f"bold {BAD}"))
    if item.why:
        if keys:
            rows += [Content(""), Content.styled("Why", STRONG)]
        rows.append(Content.assemble(*ticked(item.why)))
    if item.remedies:
        if keys:
            rows += [Content(""), Content.styled("What to do", STRONG)]
        for number, remedy in enumerate(item.remedies, start=1):
            mark = (f"{number} ", f"bold {ACCENT}") if keys else ("· ", DIM)
            parts: list[tuple[str, str]] = [mark, *ticked(remedy.label)]
            if keys and number == 1:
                parts.append(("  (recommended)", DIM))
            rows.append(Content.assemble(*parts))
            if remedy.command:
                rows.append(Content.assemble(("  $ ", SKY), span(remedy.command)))
    if item.docs:
        rows += [Content(""), Content.assemble(("docs ", DIM), span(item.docs, "underline"))]
    return joined(rows)


def raw(item: Problem, limit: int = 20) -> Content:
    """Return the last lines that belong to a problem, dimmed; its raw text where there are none."""
    lines = list(item.log) or item.raw.splitlines()
    return joined([Content.styled(line(text), DIM) for text in lines[-limit:]])


def blank(view: PageView) -> bool:
    """Tell whether a page has nothing to say yet."""
    return not (view.fields or view.rows or view.notes or view.checks)


def summary(item: Summary, width: int) -> Content:
    """Return Done."""
    rows: list[Content] = []
    name_width = max((cell_len(name) for name, _ in item.urls), default=0) + 2
    for number, (name, url) in enumerate(item.urls, start=1):
        rows.append(
            Content.assemble(
                ("✓ ", GOOD),
                (fit(name, name_width), STRONG),
                span(url, f"underline {SKY}"),
                (f"   {number}" if number < 10 else "", ACCENT),
                (" opens it" if number < 10 else "", DIM),
            )
        )
    if item.created:
        rows += [Content(""), Content.styled("created", DIM)]
        rows += [Content.assemble(("+ ", GOOD), span(text)) for text in item.created]
    if item.secrets:
        rows += [Content(""), Content.assemble(*ticked(item.secrets))]
    if item.hints:
        rows += [Content(""), Content.styled("next", DIM)]
        what = max(cell_len(text) for text, _ in item.hints) + 2
        rows += [
            Content.assemble(fit(text, what), ("$ ", SKY), span(command)) for text, command in item.hints
        ]
    if item.equivalent:
        rows += [Content(""), Content.styled("the same without questions", DIM)]
        rows.append(Content.assemble(("$ ", SKY), span(item.equivalent)))
    if item.times:
        rows += [Content(""), Content.styled("times", DIM)]
        rows += times(item.times, width)
    if item.notes:
        rows += [Content(""), notes(item.notes)]
    return joined(rows)


def times(items: Sequence[tuple[str, str]], width: int) -> list[Content]:
    """Return the times of the steps, in two columns where there is room; the total stands alone."""
    body, total = list(items[:-1]), items[-1]
    columns = 2 if width >= 84 else 1
    each = width // columns - 2
    height = -(-len(body) // columns)
    rows = []
    for at in range(height):
        parts: list[tuple[str, str]] = []
        for column in range(columns):
            index = at + column * height
            if index < len(body):
                title, text = body[index]
                parts += [
                    (fit(title, max(8, min(each - 12, 42))), ""),
                    (f"{line(text):>10}", DIM),
                    ("    ", ""),
                ]
        rows.append(Content.assemble(*parts))
    rows.append(
        Content.assemble(
            (fit(total[0], max(8, min(each - 12, 42))), STRONG), (f"{line(total[1]):>10}", STRONG)
        )
    )
    return rows
