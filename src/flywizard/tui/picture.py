"""Owns pictures of the screens for the documentation: SVG from the running app, PNG from the SVG."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

Drive = Callable[[Pilot[int]], Awaitable[None]]


async def picture(
    app: App[int], size: tuple[int, int], path_svg: Path, drive: Drive | None = None, *, png: bool = True
) -> None:
    """Run ``app`` without a terminal at ``size`` (columns, rows), lead it with ``drive``, write what it shows.

    Beside the SVG a PNG of the same name is written, which needs cairosvg (a development dependency).
    """
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if drive is not None:
            await drive(pilot)
        svg = app.export_screenshot(title="flywizard")
    write(svg, path_svg, png=png)


def write(svg: str, path_svg: Path, *, png: bool) -> None:
    """Write the SVG, and beside it the PNG."""
    path_svg.write_text(svg, encoding="utf-8")
    if png:
        write_png(svg, path_svg.with_suffix(".png"))


def normalised(svg: str) -> str:
    """Return the SVG without what differs between two runs of the same picture."""
    return re.sub(r"terminal-\d+", "terminal", svg)


def write_png(svg: str, path: Path) -> None:
    """Write the picture as PNG; web fonts go, since boxes only join in a font that is there."""
    import cairosvg

    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", "font-family: DejaVu Sans Mono;", svg)
    svg = re.sub(r"Fira Code", "DejaVu Sans Mono", svg)
    cairosvg.svg2png(bytestring=svg.encode(), write_to=str(path))
