"""Owns how tests run the app without a terminal: frozen clocks, waiting for conditions, the text on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from flywizard.fronts import Page
from flywizard.tui.app import FlywizardApp
from flywizard.tui.picture import normalised
from flywizard.tui.widgets.fields import FieldRow
from tests.support.fake_wizard import FakeWizard

WIDE, NARROW, FLOOR = (120, 40), (80, 24), (60, 16)


class Driver:
    """An app under test with its wizard and pilot."""

    def __init__(self, app: FlywizardApp, wizard: FakeWizard, pilot: Pilot[int]) -> None:
        self.app, self.wizard, self.pilot = app, wizard, pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Wait until the condition holds; the message pump runs meanwhile."""
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"never came: {what or condition}\n{self.text}")

    async def at(self, page: str) -> None:
        """Wait until a page stands and its checks are over."""

        def there() -> bool:
            screen = self.app.screen
            if type(screen).__name__ == "FormScreen":
                return getattr(screen, "page", None) == page and not getattr(screen, "_waiting", True)
            if type(screen).__name__ == "ReviewScreen":
                return page == "review" and getattr(screen, "_review", None) is not None
            return type(screen).__name__.removesuffix("Screen").lower() == page

        await self.until(there, f"page {page}")
        await self.pilot.pause()

    async def shows(self, text: str) -> None:
        """Wait until the text is on the screen."""
        await self.until(lambda: text in self.text, text)

    async def dialog(self, name: str) -> None:
        """Wait until that dialog is on top."""
        await self.until(lambda: type(self.app.screen).__name__ == name, name)
        await self.pilot.pause()

    @property
    def svg(self) -> str:
        return normalised(self.app.export_screenshot(title="flywizard"))

    @property
    def text(self) -> str:
        """Return what is on the screen as lines of text."""
        width, height = self.app.size
        rows = []
        for strip in self.app.screen._compositor.render_strips()[:height]:
            rows.append(strip.text[:width].rstrip())
        return "\n".join(rows)

    def field(self, field_id: str) -> FieldRow:
        """Return the row of a question."""
        return next(row for row in self.app.screen.query(FieldRow) if row.field.id == field_id)


@asynccontextmanager
async def running(
    wizard: FakeWizard | None = None,
    start: Page | None = None,
    size: tuple[int, int] = WIDE,
    *,
    theme: str = "flywizard",
) -> AsyncIterator[Driver]:
    """Run the app on a fake wizard with clocks that stand still."""
    wizard = wizard or FakeWizard()
    app = FlywizardApp(wizard, start, clock=lambda: 300.0, wall=lambda: "14:02:11", theme=theme)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, wizard, pilot)
        await pilot.pause()
        yield driver


def masked(svg: str) -> str:
    """Return the text of an SVG without its tags."""
    return re.sub(r"<[^>]*>", "", svg)
