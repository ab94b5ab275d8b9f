from __future__ import annotations

import re
import signal
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from tests.support.terminal import Terminal

pytestmark = pytest.mark.terminal
DEMO = "tests.support.tui_demo"
OSC = re.compile(rb"\x1b\](?:0|2|52);")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("words", [(), ("gated", "start=deploy")], ids=["home", "deploy"])
def test_a_signal_gives_the_terminal_back(number: signal.Signals, code: int, words: tuple[str, ...]) -> None:
    with Terminal(DEMO, *words) as terminal:
        terminal.shows("8 of 12" if words else "What would you like to do?")
        terminal.kill(number)
        assert terminal.ends() == code
        terminal.assert_restored()


def test_sigint_from_outside_is_the_conversation() -> None:
    with Terminal(DEMO, "gated", "start=deploy") as terminal:
        terminal.shows("8 of 12")
        terminal.kill(signal.SIGINT)
        terminal.shows("Stop the run?")
        terminal.send("\x1b")
        terminal.until(lambda: "Stop the run?" not in terminal.text, "the dialog to close")
        terminal.send("\x03")
        terminal.shows("Stop the run?")
        terminal.send("\x03")
        assert terminal.ends() == 130
        terminal.assert_restored()
        assert "flywizard resume" in terminal.printed


def test_a_crash_gives_the_terminal_back_and_shows_no_value() -> None:
    with Terminal(DEMO, "crash", "start=project") as terminal:
        assert terminal.ends() == 1
        terminal.assert_restored()
        assert "crash report" in terminal.text
        assert b"a crash beside 17 characters" in terminal.raw
        assert b"token-of-the-test" not in terminal.raw


def test_a_hostile_log_line_does_nothing_to_the_terminal() -> None:
    with Terminal(DEMO, "gated", "hostile", "start=deploy", size=(120, 40)) as terminal:
        terminal.shows("end-of-hostile")
        assert not OSC.search(terminal.raw)
        assert b"\x9b2J" not in terminal.raw
        terminal.send("\x11")
        terminal.shows("Stop the run?")
        terminal.send("\x03")
        assert terminal.ends() == 130
        terminal.assert_restored()


def test_enter_all_the_way_and_the_summary_stays() -> None:
    with Terminal(DEMO) as terminal:
        for text in (
            "What would you like to do?",
            "What this machine has",
            "Who is deploying?",
            "What this repository is",
            "Where should Postgres live?",
            "Which Kafka?",
            "Which values does the code need?",
            "nothing has been changed yet",
            "helpdesk is deployed",
        ):
            terminal.shows(text)
            terminal.send("\r")
        assert terminal.ends() == 0
        terminal.assert_restored()
        assert "https://helpdesk-web.fly.dev" in terminal.printed
        assert "the same without questions" in terminal.printed


def test_a_login_gets_the_terminal_and_gives_it_back() -> None:
    with Terminal(DEMO, "start=signin") as terminal:
        terminal.shows("Who is deploying?")
        terminal.until(lambda: "Next" in terminal.text, "the page")
        terminal.send("l")
        terminal.shows("`login` is done")
        raw = bytes(terminal.raw)
        spoke = raw.index(b"the browser login speaks here")
        assert raw.rindex(b"\x1b[?1049l", 0, spoke) > raw.rindex(b"\x1b[?1049h", 0, spoke)
        assert raw.index(b"\x1b[?1049h", spoke) > spoke
        terminal.send("\x11")
        terminal.shows("Leave flywizard?")
        terminal.send("\r")
        assert terminal.ends() == 0
        terminal.assert_restored()


def test_a_hang_up_of_a_terminal_that_is_gone_ends_the_program() -> None:
    with Terminal(DEMO, "gated", "start=deploy") as terminal:
        terminal.shows("8 of 12")
        terminal.vanish()
        terminal.kill(signal.SIGHUP)
        assert terminal.child.wait(timeout=30) == 129


@pytest.mark.parametrize("words", [(), ("gated", "start=deploy")], ids=["home", "deploy"])
def test_a_terminal_that_is_gone_without_a_signal_ends_the_program(words: tuple[str, ...]) -> None:
    with Terminal(DEMO, *words) as terminal:
        terminal.shows("8 of 12" if words else "What would you like to do?")
        terminal.vanish()
        assert terminal.child.wait(timeout=30) == 129


def test_quit_from_home_and_no_color() -> None:
    with Terminal(DEMO, env={"NO_COLOR": "1"}) as terminal:
        terminal.shows("What would you like to do?")
        terminal.send("q")
        assert terminal.ends() == 0
        terminal.assert_restored()
