"""Owns the program that terminal tests drive: the app on a wizard without a world.

Usage: python -m tests.support.tui_demo [gated] [fail] [hostile] [crash] [start=PAGE]
"""

from __future__ import annotations

import sys

from flywizard.events import Event, StepOutput
from flywizard.fronts import PAGES, Page
from flywizard.tui.app import run_app
from tests.support.fake_wizard import HOSTILE, FakeWizard, failing, resumed, script


def main(words: list[str]) -> int:
    """Run the app as the words say; return its exit code."""
    runs = [failing(), resumed()] if "fail" in words else [script()]
    if "hostile" in words:
        lines: list[Event] = [StepOutput("release.api", "log", HOSTILE + " end-of-hostile", "api")]
        runs = [[runs[0][0], lines, *runs[0][1:]]]
    wizard = FakeWizard(
        gated="gated" in words, runs=runs, crash="token-of-the-test" if "crash" in words else ""
    )
    if "gated" in words:
        wizard.release(6)
    start: Page | None = next((p for p in PAGES if f"start={p}" in words), None)
    return run_app(wizard, start, on_crash=lambda report: f"crash report\n{report}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
