"""The real wizard on rehearsals, in a real terminal."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from flywizard.lock import RunLock
from tests.support.rehearsed import (
    DOWN,
    ENTER,
    ESCAPE,
    HOME,
    INTERRUPT,
    NARROW,
    PAGES,
    REVIEW,
    TAB,
    WIDE,
    deploy,
    rehearse,
    to_review,
    world,
)
from tests.support.terminal import ROOT, Terminal

pytestmark = pytest.mark.terminal
OSC = re.compile(rb"\x1b\](?:0|2|52);")
HOSTILE = (
    "\x1b]0;owned\x07\x1b]52;c;aGFjaw==\x07[/x] [@click=app.bell]x[/] [red]\u202egnp\x9b2J end-of-hostile"
)


def gone(terminal: Terminal, text: str) -> None:
    terminal.until(lambda: text not in terminal.text, f"{text} to go")


def ended_well(terminal: Terminal) -> None:
    """Done is on the screen; Enter ends it and the summary stays."""
    terminal.shows("is deployed")
    terminal.send(ENTER)
    assert terminal.ends() == 0
    terminal.assert_restored()
    assert "https://" in terminal.printed or "http://" in terminal.printed
    assert "the same without questions" in terminal.printed


def test_enter_only_from_home_to_done_while_a_service_logs_hostile_lines(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        deploy(terminal)

        def heard() -> bool:
            world(tmp_path, {"say": [{"app": "helpdesk-api", "message": HOSTILE}]})
            return "end-of-hostile" in terminal.text

        terminal.until(heard, "the hostile line")
        terminal.shows("[/x] [@click=app.bell]x[/] [red]gnp")
        ended_well(terminal)
        assert not OSC.search(terminal.raw)
        assert b"\x9b2J" not in terminal.raw


def test_enter_only_in_a_small_window_that_changes_its_size_while_it_deploys(tmp_path: Path) -> None:
    with rehearse(tmp_path, size=NARROW) as terminal:
        deploy(terminal)
        terminal.shows("8 of 9")
        terminal.resize(50, 12)
        terminal.shows("60×16 is needed, it is 50×12.")
        terminal.resize(*WIDE)
        terminal.shows("secrets in")
        terminal.resize(*NARROW)
        terminal.until(lambda: "secrets in" not in terminal.text, "the rail to fold")
        ended_well(terminal)


def test_a_run_that_signals_end_is_resumed_to_its_end(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        deploy(terminal)
        terminal.shows("✓ App helpdesk-api")
        terminal.kill(signal.SIGTERM)
        assert terminal.ends() == 143
        terminal.assert_restored()
        assert "hint: go on with" in terminal.printed
    with rehearse(tmp_path) as terminal:
        terminal.shows("▸ Resume")
        terminal.send(ENTER)
        terminal.shows("✓ Build helpdesk-api")
        terminal.kill(signal.SIGHUP)
        assert terminal.ends() == 129
        terminal.assert_restored()
    with rehearse(tmp_path) as terminal:
        terminal.shows("▸ Resume")
        terminal.send(ENTER)
        ended_well(terminal)


def test_a_failed_build_is_retried_once_its_cause_is_gone(tmp_path: Path) -> None:
    with rehearse(tmp_path, "--fault", "build-fails@helpdesk-web") as terminal:
        deploy(terminal)
        terminal.shows("What to do")
        terminal.shows("Stopped:")
        terminal.shows("Build helpdesk-web")
        world(tmp_path, {"faults": []})
        terminal.send("r")
        ended_well(terminal)


def test_ctrl_c_asks_on_every_screen_and_the_second_forces(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        for text in (HOME, *PAGES, REVIEW):
            terminal.shows(text)
            terminal.send(INTERRUPT)
            terminal.shows("Leave flywizard?")
            terminal.send(ESCAPE)
            gone(terminal, "Leave flywizard?")
            terminal.send(ENTER)
        terminal.shows("Deploying")
        terminal.send(INTERRUPT)
        terminal.shows("Stop the run?")
        terminal.send(ESCAPE)
        gone(terminal, "Stop the run?")
        terminal.send(INTERRUPT)
        terminal.shows("Stop the run?")
        terminal.send(INTERRUPT)
        assert terminal.ends() == 130
        terminal.assert_restored()
    with rehearse(tmp_path) as terminal:
        terminal.shows("▸ Resume")
        terminal.send(INTERRUPT)
        terminal.shows("Leave flywizard?")
        terminal.send(INTERRUPT)
        assert terminal.ends() == 130


def test_back_from_every_page_keeps_the_answers(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        for text in (HOME, *PAGES[:3]):
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("Where should Postgres live?")
        terminal.shows("-n helpdesk-db ")
        terminal.send(TAB)
        terminal.shows("--database-name")
        terminal.send("-two")
        terminal.shows("-n helpdesk-db-two ")
        terminal.send(ENTER)
        for text in PAGES[4:]:
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("to write")
        terminal.shows("helpdesk-db-two")
        for text in (*reversed(PAGES), HOME):
            terminal.send(ESCAPE)
            terminal.shows(text)
            if text == PAGES[3]:
                terminal.shows("-n helpdesk-db-two ")
        terminal.send(ENTER)
        for text in PAGES:
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("to write")
        terminal.shows("helpdesk-db-two")
        leave(terminal)


def leave(terminal: Terminal) -> None:
    terminal.send("\x11")
    terminal.shows("Leave flywizard?")
    terminal.send(ENTER)
    assert terminal.ends() == 0
    terminal.assert_restored()


def test_the_url_of_a_database_that_exists_is_never_shown(tmp_path: Path) -> None:
    password = "pw-of-the-database-9911"
    with rehearse(tmp_path) as terminal:
        for text in (HOME, *PAGES[:3]):
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("Where should Postgres live?")
        terminal.shows("-n helpdesk-db ")
        terminal.send(DOWN)
        terminal.shows("URL ")
        terminal.shows("rehearsal stand-in")
        terminal.send(TAB)
        terminal.shows("FLYWIZARD_SECRET_DATABASE_URL")
        terminal.send(f"postgresql://app:{password}@127.0.0.1:1/app{ENTER}")
        terminal.shows("•••• known; type to replace it")
        terminal.shows("✗ ")
        leave(terminal)
        assert password.encode() not in terminal.raw
    for path in tmp_path.rglob("*"):
        if path.is_file() and "postgres" not in path.parts:
            assert password.encode() not in path.read_bytes(), path


def test_no_broker_and_a_worker_of_its_own_reach_the_review(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        for text in (HOME, *PAGES[:2]):
            terminal.shows(text)
            terminal.send(ENTER)
        terminal.shows("What is in this repository")
        terminal.shows("as an app of its own")
        terminal.send(TAB * 6 + DOWN)
        terminal.shows("helpdesk-worker")
        terminal.send(ENTER)
        terminal.shows("Where should Postgres live?")
        terminal.send(ENTER)
        terminal.shows("Which Kafka?")
        terminal.shows("Bootstrap servers")
        terminal.send(DOWN)
        gone(terminal, "Bootstrap servers")
        terminal.send(ENTER)
        terminal.shows("Values that the code needs")
        terminal.send(ENTER)
        terminal.shows("to write")
        terminal.shows("helpdesk-worker")
        leave(terminal)


def test_a_flywizard_toml_that_cannot_be_used_is_named_on_home(tmp_path: Path) -> None:
    source = tmp_path / "helpdesk"
    shutil.copytree(ROOT / "examples" / "helpdesk", source)
    (source / "flywizard.toml").write_text('version = 1\nname = "helpdesk"\nregion = 7\n', "utf-8")
    with rehearse(tmp_path / "state", source=source) as terminal:
        terminal.shows("flywizard.toml can't be used")
        terminal.shows(HOME)
        terminal.send("q")
        assert terminal.ends() == 0
        terminal.assert_restored()


def test_another_run_is_named_and_the_wait_ends_with_it(tmp_path: Path) -> None:
    with rehearse(tmp_path) as terminal:
        to_review(terminal)
        folder = next(tmp_path.glob("rehearsals/*/state/*"))
        with RunLock(folder / "lock") as lock:
            lock.acquire("flywizard apply")
            terminal.send(ENTER)
            terminal.shows("another run holds the lock")
            terminal.shows("flywizard apply")
            terminal.send("q")
            assert terminal.ends() == 4
            terminal.assert_restored()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_inside_tmux(tmp_path: Path) -> None:
    socket = str(tmp_path / "tmux")
    code = tmp_path / "code"
    command = (
        f"PYTHONPATH={ROOT / 'src'} FLYWIZARD_STATE_DIR={tmp_path / 'state'} "
        f"{sys.executable} -m flywizard rehearse; echo $? > {code}.part; mv {code}.part {code}"
    )

    def tmux(*words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", socket, "-f", "/dev/null", *words], capture_output=True, text=True, check=False
        )
        return done.stdout

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, tmux("capture-pane", "-p")

    try:
        tmux("new-session", "-d", "-x", "118", "-y", "32", "sh", "-c", command)
        until(lambda: HOME in tmux("capture-pane", "-p"))
        tmux("send-keys", "Enter")
        until(lambda: PAGES[0] in tmux("capture-pane", "-p"))
        tmux("send-keys", "C-c")
        until(lambda: "Leave flywizard?" in tmux("capture-pane", "-p"))
        tmux("send-keys", "C-c")
        until(code.exists)
        assert code.read_text().strip() == "130"
    finally:
        tmux("kill-server")
