"""Remedies that lead back into the forms, in a real terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from tests.support.rehearsed import ENTER, HOME, NARROW, PAGES, deploy, rehearse

pytestmark = pytest.mark.terminal


@pytest.mark.parametrize(("group", "flag"), [("worker", "--worker-command"), ("app", "--api-command")])
def test_a_crash_leads_to_the_command_of_the_group_that_crashed(
    tmp_path: Path, group: str, flag: str
) -> None:
    with rehearse(tmp_path, "--fault", f"crash-loop@{group}") as terminal:
        deploy(terminal)
        terminal.shows("What to do")
        terminal.shows("edit answer")
        terminal.send("e")
        terminal.shows(PAGES[2])
        terminal.shows(flag)


def test_a_taken_name_is_replaced_with_one_key(tmp_path: Path) -> None:
    with rehearse(tmp_path, "--fault", "name-taken@helpdesk-web", size=NARROW) as terminal:
        for text in (HOME, *PAGES[:2]):
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("✗ the name is taken by somebody else")
        terminal.shows("F2 use helpdesk-web-acme")
        terminal.shows("Web app")
        terminal.send("\x1bOQ")
        terminal.until(lambda: "✗ the name is taken" not in terminal.text, "the fault to go")
        terminal.send(ENTER)
        terminal.shows(PAGES[3])
