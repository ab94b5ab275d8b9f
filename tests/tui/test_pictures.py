"""Pictures of the screens, compared with the ones kept beside this file.

``FLYWIZARD_TEST_UPDATE=1`` writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flywizard.fronts import Page
from tests.support.fake_wizard import FakeWizard, failing
from tests.support.tui_app import FLOOR, NARROW, WIDE, Driver, running

KEPT = Path(__file__).parent / "__snapshots__"
UPDATE = os.environ.get("FLYWIZARD_TEST_UPDATE") == "1"
Lead = Callable[[Driver], Awaitable[None]]


def compare(name: str, svg: str) -> None:
    """Compare with the kept picture; on a difference the new one is written beside it."""
    path = KEPT / f"{name}.svg"
    if UPDATE:
        KEPT.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8", newline="\n")
    if not path.is_file():
        pytest.fail(f"no picture {path.name}: run with FLYWIZARD_TEST_UPDATE=1 and look at it")
    if svg != path.read_text(encoding="utf-8"):
        new = path.with_suffix(".new.svg")
        new.write_text(svg, encoding="utf-8", newline="\n")
        pytest.fail(f"{path.name} differs; the new picture is {new.name}")


async def deploying(run: Driver) -> None:
    run.wizard.release(6)
    await run.shows("8 of 12")
    await run.shows("from the environment")


async def conversing(run: Driver) -> None:
    await deploying(run)
    await run.press("ctrl+c")
    await run.dialog("Conversation")


async def stopped(run: Driver) -> None:
    await run.shows("What to do")


async def picking(run: Driver) -> None:
    await run.press("tab", "space")
    await run.dialog("Pick")


async def diffs(run: Driver) -> None:
    await run.press("f")
    await run.shows("+primary_region")


async def consenting(run: Driver) -> None:
    await run.press("enter")
    await run.dialog("Confirm")


async def summed(run: Driver) -> None:
    await run.shows("helpdesk-api.fly.dev")


async def live(run: Driver) -> None:
    await run.shows("3 commits since")


PICTURES: list[tuple[str, Page | None, Callable[[], FakeWizard], Lead | None]] = [
    ("home", None, lambda: FakeWizard(interrupted=True), live),
    ("prerequisites", "prerequisites", FakeWizard, None),
    ("signin", "signin", FakeWizard, None),
    ("signin-region", "signin", FakeWizard, picking),
    ("project", "project", FakeWizard, None),
    ("database", "database", FakeWizard, None),
    ("broker-refused", "broker", lambda: FakeWizard(refuse_broker=True), None),
    ("secrets-missing", "secrets", lambda: FakeWizard(missing_secret=True), None),
    ("review", "review", FakeWizard, None),
    ("review-files", "review", FakeWizard, diffs),
    (
        "review-consent",
        "review",
        lambda: FakeWizard(consents=("helpdesk-db exists and would be changed.",)),
        consenting,
    ),
    ("deploy", "deploy", lambda: FakeWizard(gated=True), deploying),
    ("deploy-stop", "deploy", lambda: FakeWizard(gated=True), conversing),
    ("deploy-problem", "deploy", lambda: FakeWizard(runs=[failing()]), stopped),
    ("done", "done", FakeWizard, summed),
]


async def settle(run: Driver) -> None:
    """Wait until three frames in a row are the same."""
    last, same = "", 0
    for _ in range(100):
        await run.pilot.pause(0.02)
        now = run.svg
        same = same + 1 if now == last else 0
        last = now
        if same >= 2:
            return


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["120x40", "80x24"])
@pytest.mark.parametrize(("name", "start", "make", "lead"), PICTURES, ids=[p[0] for p in PICTURES])
async def test_picture(
    name: str, start: Page | None, make: Callable[[], FakeWizard], lead: Lead | None, size: tuple[int, int]
) -> None:
    async with running(make(), start, size) as run:
        await run.at(start or "home")
        if lead is not None:
            await lead(run)
        await settle(run)
        compare(f"{name}-{size[0]}x{size[1]}", run.svg)


@pytest.mark.parametrize(
    ("name", "size", "theme"),
    [
        ("database-60x16", FLOOR, "flywizard"),
        ("database-50x12", (50, 12), "flywizard"),
        ("database-light-120x40", WIDE, "flywizard-light"),
        ("database-ansi-80x24", NARROW, "ansi-dark"),
    ],
)
async def test_picture_of_a_small_window_and_of_other_colours(
    name: str, size: tuple[int, int], theme: str
) -> None:
    async with running(start="database", size=size, theme=theme) as run:
        await run.at("database")
        await settle(run)
        compare(name, run.svg)
