from __future__ import annotations

import subprocess
import sys

import pytest
from textual.worker import WorkerFailed

from flywizard.tui.app import FlywizardApp
from flywizard.tui.workarounds import describe
from tests.support.fake_wizard import FakeWizard


async def test_the_crash_report_holds_no_local_variable(capsys: pytest.CaptureFixture[str]) -> None:
    reports: list[str] = []

    def keep(report: str) -> str:
        reports.append(report)
        return "redacted"

    app = FlywizardApp(FakeWizard(crash="FlyV1-token-9911"), "project", on_crash=keep)

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            await pilot.pause()

    with pytest.raises(WorkerFailed):
        await run()
    assert "a crash beside 16 characters" in reports[0]
    assert "in enter" in reports[0]
    assert "FlyV1-token-9911" not in reports[0]
    out = capsys.readouterr()
    assert "FlyV1-token-9911" not in out.out + out.err
    assert "redacted" in out.err


def test_describe_shows_the_worker_s_own_error() -> None:
    try:
        raise ValueError("inside")
    except ValueError as error:
        text = describe(WorkerFailed(error))
    assert "ValueError: inside" in text


def test_the_first_frame_needs_nothing_heavy() -> None:
    code = (
        "import sys, flywizard.tui.app; "
        "sys.stdout.write(' '.join(m for m in ('httpx', 'pydantic', 'yaml', 'keyring', 'psycopg', 'tomlkit',"
        " 'flywizard.session', 'flywizard.adapters', 'flywizard.rehearsal', 'textual.widgets._text_area',"
        " 'textual.widgets._data_table', 'flywizard.tui.screens.form') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
