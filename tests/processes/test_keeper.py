"""Tests of the keeper and of the port that runs flyctl, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flywizard.adapters import fly as fly_adapter
from flywizard.adapters.fly import FlyRunner
from flywizard.attempt import CANCEL, CHILD, END, KILL, LOCK, Order, is_alive, is_held, lock, start_time
from flywizard.keeper import Stop
from flywizard.plan import Command
from flywizard.ports import Doubt
from flywizard.vault import Secret
from tests.support import fake_flyctl, wizard_driver
from tests.support.upstream import Fault, Upstream, status

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
SECRET = "marked-p4ss/word+x"
VOLUMES = "/v1/apps/helpdesk-api/volumes"


async def until(true: Callable[[], object]) -> None:
    """Wait for a condition; the test's own time limit ends a wait in vain."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


class Room:
    """A repository, a fake flyctl, and the runs of one wizard."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.root.mkdir()
        self.runs = folder / "state" / "runs"
        self.executable = fake_flyctl.install(folder)
        self.go = folder / "go"
        self.lines: list[tuple[str, str]] = []
        self.born: list[dict[str, Any]] = []

    def fly(
        self, *, mask: tuple[str, ...] = (SECRET,), token: str | None = None, **environment: str
    ) -> FlyRunner:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.root), **environment}
        secret = Secret(token) if token else None
        return FlyRunner(self.executable, self.root, self.runs, base, lambda: mask, token=secret)

    def command(self, *words: str, **options: Any) -> Command:
        return Command(("fly", *words), **{"changes": True, "timeout": 60.0, **options})

    def heard(self, stream: str, line: str) -> None:
        self.lines.append((stream, line))

    def started(self, born: Any) -> None:
        self.born.append(dict(born))

    def end(self, attempt: str) -> dict[str, Any]:
        return dict(json.loads((self.runs / attempt / END).read_bytes()))

    def keep(self, attempt: str, *words: str, ulimit: str = "", **options: Any) -> subprocess.Popen[bytes]:
        """Start a keeper by hand, without waiting for it."""
        directory = self.runs / attempt
        directory.mkdir(parents=True, exist_ok=True)
        order = Order([str(self.executable), *words], str(self.root), {"PATH": os.environ["PATH"]}, **options)
        argv = [sys.executable, "-P", "-m", "flywizard.keeper", str(directory)]
        if ulimit:
            argv = ["sh", "-c", f'ulimit {ulimit}; exec "$@"', "sh", *argv]
        keeper = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
        assert keeper.stdin is not None
        keeper.stdin.write(order.to_json())
        keeper.stdin.close()
        return keeper


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    for child in room.runs.glob(f"*/{CHILD}"):
        born = json.loads(child.read_bytes())
        if is_alive(born["pid"], born["start_time"]):
            os.killpg(born["pid"], signal.SIGKILL)


@contextlib.asynccontextmanager
async def going(
    room: Room, fly: FlyRunner, command: Command, attempt: str = "a1"
) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.ensure_future(
        fly.run(command, attempt=attempt, on_output=room.heard, on_started=room.started)
    )
    await until(lambda: room.born or task.done())
    yield task
    await asyncio.gather(task, return_exceptions=True)


async def test_output_exit_status_and_start_are_reported(room: Room) -> None:
    command = room.command("say=out", "complain=bad", "cwd", "exit=7")
    ended = await room.fly().run(command, attempt="a1", on_output=room.heard, on_started=room.started)
    assert (ended.code, ended.stdout, ended.stderr) == (7, f"out\n{room.root}\n", "bad\n")
    assert (ended.signalled, ended.timed_out, ended.doubts) == (False, False, ())
    assert sorted(room.lines) == [("stderr", "bad"), ("stdout", str(room.root)), ("stdout", "out")]
    assert room.born[0].keys() == {"pid", "start_time", "keeper_pid", "keeper_start_time"}


async def test_every_file_is_the_users_alone(room: Room) -> None:
    await room.fly().run(room.command("say=x"), attempt="a1")
    assert (room.runs / "a1").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (room.runs / "a1").iterdir()} == {0o600}


async def test_a_child_that_dies_of_a_signal_has_a_negative_status(room: Room) -> None:
    ended = await room.fly().run(room.command("die"), attempt="a1")
    assert (ended.code, ended.signalled) == (-9, False)


@linux
async def test_nothing_is_inherited_but_the_three_streams(room: Room) -> None:
    ended = await room.fly().run(room.command("files"), attempt="a1")
    assert ended.stdout == "[0, 1, 2]\n"


@pytest.mark.parametrize("guarded", ["guarded", "plain"])
async def test_a_killed_wizard_loses_nothing(room: Room, guarded: str) -> None:
    words = ["say=before", f"await={room.go}", "say=after", "complain=end", "exit=5"]
    driver = await asyncio.create_subprocess_exec(
        *[sys.executable, wizard_driver.__file__, str(room.executable), str(room.root), str(room.runs)],
        *["a1", guarded, *words],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert driver.stdout is not None
    born = json.loads(await driver.stdout.readline())
    driver.kill()
    await driver.wait()
    assert is_alive(born["pid"], born["start_time"])
    fly = room.fly()
    settled = asyncio.ensure_future(fly.settle("a1", on_output=room.heard))
    await until(lambda: ("stdout", "before") in room.lines)
    assert not settled.done()
    room.go.touch()
    ended = await settled
    assert ended is not None
    assert (ended.code, ended.stdout, ended.stderr) == (5, "before\nafter\n", "end\n")
    assert ("stdout", "after") in room.lines
    assert await fly.settle("a1") == ended


async def test_a_cancelled_caller_leaves_the_child_alone(room: Room) -> None:
    fly = room.fly()
    async with going(room, fly, room.command(f"await={room.go}", "say=done")) as task:
        task.cancel()
    assert is_alive(room.born[0]["pid"], room.born[0]["start_time"])
    room.go.touch()
    ended = await fly.settle("a1")
    assert ended is not None
    assert (ended.code, ended.stdout) == (0, "done\n")


async def test_an_unknown_attempt_never_started(room: Room) -> None:
    assert await room.fly().settle("nothing") is None


async def test_an_order_that_was_cut_off_starts_nothing(room: Room) -> None:
    directory = room.runs / "a1"
    directory.mkdir(parents=True)
    argv = [sys.executable, "-P", "-m", "flywizard.keeper", str(directory)]
    keeper = subprocess.Popen(argv, stdin=subprocess.PIPE)  # noqa: ASYNC220
    assert keeper.stdin is not None
    await until(lambda: is_held(directory / LOCK))
    settled = asyncio.ensure_future(room.fly().settle("a1"))
    keeper.stdin.write(b'{"argv": ["x"')
    keeper.stdin.flush()
    assert not settled.done()
    keeper.stdin.close()
    assert await asyncio.to_thread(keeper.wait) == 0
    assert room.end("a1")["started"] is False
    assert await settled is None


async def test_no_end_and_a_free_lock_mean_that_nobody_knows(room: Room) -> None:
    async with going(room, room.fly(), room.command("say=x", f"await={room.go}", "say=y")) as task:
        await until(lambda: ("stdout", "x") in room.lines)
        os.kill(room.born[0]["keeper_pid"], signal.SIGKILL)
        await until(lambda: not is_held(room.runs / "a1" / LOCK))
        settled = asyncio.ensure_future(room.fly().settle("a1"))
        room.go.touch()  # the child meets a closed pipe, or just ends
        ended = await settled
        assert ended is not None
        assert (ended.code, ended.stdout) == (None, "x\n")
        assert (await task).code is None
    assert not is_alive(room.born[0]["pid"], room.born[0]["start_time"])


async def test_the_lock_is_held_as_long_as_the_child_runs(room: Room) -> None:
    async with going(room, room.fly(), room.command(f"await={room.go}")) as task:
        assert is_held(room.runs / "a1" / LOCK)
        assert lock(room.runs / "a1" / LOCK) is None
        room.go.touch()
        await task
    await until(lambda: not is_held(room.runs / "a1" / LOCK))


async def test_the_lock_is_held_before_the_keeper_has_done_anything(room: Room) -> None:
    order = Order([str(room.executable), "say=x"], str(room.root), {})
    keeper = fly_adapter._start(room.runs / "a1", order)
    assert is_held(room.runs / "a1" / LOCK)
    assert await asyncio.to_thread(keeper.wait) == 0
    assert not is_held(room.runs / "a1" / LOCK)


async def test_a_second_keeper_leaves_a_held_directory_alone(room: Room) -> None:
    async with going(room, room.fly(), room.command(f"await={room.go}", "say=first")) as task:
        second = room.keep("a1", "say=second")
        assert await asyncio.to_thread(second.wait) == 73
        room.go.touch()
        assert (await task).stdout == "first\n"


async def test_an_attempt_is_made_once(room: Room) -> None:
    await room.fly().run(room.command("say=x"), attempt="a1")
    with pytest.raises(FileExistsError):
        await room.fly().run(room.command("say=x"), attempt="a1")


@pytest.mark.parametrize("attempt", ["../x", "a/b", ".", "a b"])
async def test_an_attempt_can_not_lead_elsewhere(room: Room, attempt: str) -> None:
    with pytest.raises(ValueError, match="attempt"):
        await room.fly().run(room.command("say=x"), attempt=attempt)


async def test_a_missing_flyctl_is_named(room: Room) -> None:
    room.executable = room.root / "no-flyctl"
    for command in (room.command("x"), room.command("x", changes=False)):
        with pytest.raises(FileNotFoundError):
            await room.fly().run(command)


async def test_values_are_masked_however_they_are_cut(room: Room) -> None:
    command = room.command("dribble")
    ended = await room.fly().run(
        command, stdin=f"A={SECRET}\nB=x\n".encode(), attempt="a1", on_output=room.heard
    )
    assert ended.stdout == "A=••••\nB=x\n"
    assert room.lines == [("stdout", "A=••••"), ("stdout", "B=x")]


async def test_what_only_begins_like_a_secret_is_not_lost(room: Room) -> None:
    ended = await room.fly().run(room.command(f"raw={SECRET[:9]}"), attempt="a1", on_output=room.heard)
    assert ended.stdout == SECRET[:9]
    assert room.lines == [("stdout", SECRET[:9])]


def test_each_signal_is_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    sent: list[bool] = []
    stop = Stop(tmp_path, Order(["x"], "/", {}))
    stop.look(sent.append)
    assert sent == []
    (tmp_path / CANCEL).touch()
    for _ in range(3):
        stop.look(sent.append)
    assert sent == [False]
    (tmp_path / CANCEL).write_text(KILL)
    for _ in range(3):
        stop.look(sent.append)
    assert sent == [False, True]


@linux
async def test_no_secret_is_in_a_file_a_command_line_or_an_environment(room: Room) -> None:
    fly = room.fly(mask=())
    stdin = f'PASSWORD="""{SECRET}"""\n'.encode()
    task = asyncio.ensure_future(
        fly.run(
            room.command("stdin", f"await={room.go}", stdin=("PASSWORD",)),
            stdin=stdin,
            attempt="a1",
            on_started=room.started,
        )
    )
    await until(lambda: room.born and (room.runs / "a1" / "stdout.log").stat().st_size)
    looked = [
        proc(room.born[0][who], what) for who in ("pid", "keeper_pid") for what in ("cmdline", "environ")
    ]
    room.go.touch()
    ended = await task
    looked += [path.read_bytes() for path in (room.runs / "a1").iterdir()]
    assert all(looked[:4])
    assert not any(SECRET.encode() in content for content in looked)
    assert "••••" in ended.stdout


@linux
async def test_only_the_child_is_given_the_token(room: Room) -> None:
    fly = room.fly(token="fm2_marked_token_of_mine", FLY_ACCESS_TOKEN="fm2_another_token_here")
    async with going(
        room, fly, room.command("env=FLY_ACCESS_TOKEN", "env=FLY_API_TOKEN", f"await={room.go}")
    ) as task:
        child, keeper = (proc(room.born[0][who], "environ") for who in ("pid", "keeper_pid"))
        room.go.touch()
        assert (await task).stdout == "None\n••••\n"
    assert b"fm2_marked" in child
    assert b"fm2_" not in keeper


async def test_a_line_of_a_megabyte_arrives_whole(room: Room) -> None:
    ended = await room.fly().run(
        room.command("repeat=1000000,x", "raw=\\n"), attempt="a1", on_output=room.heard
    )
    assert len(ended.stdout) == 1_000_001
    assert [(stream, len(line)) for stream, line in room.lines] == [("stdout", 1_000_000)]


async def test_carriage_returns_stay_in_the_log_and_collapse_for_readers(room: Room) -> None:
    command = room.command("raw=10%\\r20%\\r30%\\nend")
    ended = await room.fly().run(command, attempt="a1", on_output=room.heard)
    assert ended.stdout == "10%\r20%\r30%\nend"
    assert room.lines == [("stdout", "30%"), ("stdout", "end")]


async def test_hostile_lines_are_clean_when_they_are_delivered(room: Room) -> None:
    await room.fly().run(
        room.command("raw=\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07\\n"), attempt="a1", on_output=room.heard
    )
    assert room.lines == [("stdout", "red")]


async def test_interrupt_reaches_the_child_once(room: Room) -> None:
    fly = room.fly()
    async with going(
        room, fly, room.command("catch", "say=ready", "hang", f"await={room.go}", "exit=127")
    ) as task:
        await until(lambda: ("stdout", "ready") in room.lines)
        await fly.interrupt()
        await fly.interrupt()
        await until(lambda: ("stdout", "interrupt 1") in room.lines)
        os.kill(room.born[0]["keeper_pid"], signal.SIGTERM)
        room.go.touch()
        ended = await task
    assert (ended.code, ended.signalled, ended.timed_out) == (127, True, False)
    assert ended.stdout == "ready\ninterrupt 1\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_the_keeper_interrupts_the_child(room: Room, number: int) -> None:
    async with going(room, room.fly(), room.command("catch", "say=ready", "hang", "exit=127")) as task:
        await until(lambda: ("stdout", "ready") in room.lines)
        os.kill(room.born[0]["keeper_pid"], number)
        ended = await task
    assert (ended.code, ended.signalled, ended.stdout) == (127, True, "ready\ninterrupt 1\n")


async def test_the_file_cancel_works_for_whoever_comes_later(room: Room) -> None:
    async with going(room, room.fly(), room.command("catch", "say=ready", "hang", "exit=127")) as task:
        await until(lambda: ("stdout", "ready") in room.lines)
        (room.runs / "a1" / CANCEL).touch()
        assert (await task).code == 127


async def test_a_child_that_does_not_listen_is_killed_on_request(room: Room) -> None:
    fly = room.fly()
    async with going(room, fly, room.command("catch", "say=ready", "forever")) as task:
        await until(lambda: ("stdout", "ready") in room.lines)
        await fly.interrupt()
        await until(lambda: ("stdout", "interrupt 1") in room.lines)
        await fly.kill()
        ended = await task
    assert (ended.code, ended.signalled) == (-9, True)
    assert (room.runs / "a1" / CANCEL).read_text() == KILL


async def test_a_changing_command_has_a_time_limit(room: Room) -> None:
    ended = await room.fly().run(room.command("catch", "hang", "exit=127", timeout=0.3), attempt="a1")
    assert (ended.code, ended.timed_out, ended.signalled) == (127, True, True)


async def test_the_time_limit_holds_also_for_a_child_that_does_not_listen(room: Room) -> None:
    keeper = room.keep("a1", "catch", f"touch={room.go}", "forever", timeout=0.3, kill_after=0.0)
    assert await asyncio.to_thread(keeper.wait) == 0
    assert (room.end("a1")["code"], room.end("a1")["timed_out"]) == (-9, True)


async def test_pipes_that_a_grandchild_holds_do_not_hold_the_keeper(room: Room) -> None:
    keeper = room.keep("a1", "say=x", f"grandchild={room.go}", "exit=3", linger=0.1)
    assert await asyncio.to_thread(keeper.wait) == 0
    assert room.end("a1")["code"] == 3
    born = json.loads((room.runs / "a1" / CHILD).read_bytes())
    os.killpg(born["pid"], signal.SIGKILL)
    assert (room.runs / "a1" / "stdout.log").read_text() == "x\n"


@linux
async def test_a_full_disk_under_a_log_ends_nothing(room: Room) -> None:
    (room.runs / "a1").mkdir(parents=True)
    (room.runs / "a1" / "stdout.log").symlink_to("/dev/full")
    keeper = room.keep("a1", "repeat=200000,x", "complain=still here", "exit=4")
    assert await asyncio.to_thread(keeper.wait) == 0
    assert (room.end("a1")["code"], room.end("a1")["lost"]) == (4, 200_000)
    assert (room.runs / "a1" / "stderr.log").read_text() == "still here\n"


@linux
async def test_a_disk_that_fills_up_loses_output_but_not_the_end(room: Room) -> None:
    async with going(room, room.fly(), room.command(f"await={room.go}", "repeat=300000,x", "exit=6")) as task:
        resource.prlimit(room.born[0]["keeper_pid"], resource.RLIMIT_FSIZE, (10_000, 10_000))
        room.go.touch()
        ended = await task
    assert ended.code == 6
    assert len(ended.stdout) == 10_000
    assert room.end("a1")["lost"] == 290_000


async def test_where_the_end_could_not_be_recorded_nothing_is_started(room: Room) -> None:
    keeper = room.keep("a1", f"touch={room.go}", ulimit="-f 0")
    assert await asyncio.to_thread(keeper.wait) == 74
    assert not room.go.exists()


async def test_a_directory_that_can_not_be_written_is_named(room: Room) -> None:
    driver = await asyncio.create_subprocess_exec(
        *["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, wizard_driver.__file__],
        *[str(room.executable), str(room.root), str(room.runs), "a1", "plain", f"touch={room.go}"],
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    _, stderr = await driver.communicate()
    assert b"the directory of the run can't be written" in stderr
    assert not room.go.exists()


async def test_a_guarded_child_goes_through_the_guard(room: Room, upstream: Upstream) -> None:
    fly = room.fly(
        FLY_FLAPS_BASE_URL=f"http://127.0.0.1:{upstream.port}", FLY_API_TOKEN="fm2_marked_token_of_mine"
    )
    upstream.fail("POST", VOLUMES, status(502, commit=True))
    ended = await fly.run(
        room.command(f"request=POST,{VOLUMES}", guarded=True), attempt="a1", on_output=room.heard
    )
    assert ended.stdout.startswith("200 ")
    assert ended.stderr == ""
    told = f"flywizard-guard: POST {VOLUMES} 502 (Request ID: 01ABC), settled by look-up"
    assert room.lines[-1] == ("stderr", told)
    assert ended.doubts == ()
    assert len(upstream.get(VOLUMES)) == 1
    requests = (room.runs / "a1" / "requests.jsonl").read_text()
    assert "settled by look-up" in requests
    assert "fm2_" not in requests


async def test_doubts_come_back_as_data(room: Room, upstream: Upstream) -> None:
    fly = room.fly(
        FLY_FLAPS_BASE_URL=f"http://127.0.0.1:{upstream.port}", FLY_API_TOKEN="fm2_marked_token_of_mine"
    )
    path = "/v1/apps/a/machines/1/exec"
    upstream.fail("POST", path, status(502))
    ended = await fly.run(room.command(f"request=POST,{path}", guarded=True), attempt="a1")
    assert ended.doubts == (Doubt("POST", path, "502 (Request ID: 01ABC)"),)
    assert await fly.settle("a1") == ended
    assert upstream.count("POST", path) == 1


async def test_a_child_killed_in_the_middle_of_a_create_leaves_its_end_to_the_guard(
    room: Room, upstream: Upstream
) -> None:
    fly = room.fly(
        FLY_FLAPS_BASE_URL=f"http://127.0.0.1:{upstream.port}", FLY_API_TOKEN="fm2_marked_token_of_mine"
    )
    upstream.fail("POST", VOLUMES, Fault("hang"))
    async with going(room, fly, room.command(f"request=POST,{VOLUMES}", guarded=True)) as task:
        await upstream.hanging.wait()
        os.kill(room.born[0]["pid"], signal.SIGKILL)
        await until(lambda: start_time(room.born[0]["pid"]) is None)
        assert not task.done()
        upstream.released.set()
        ended = await task
    assert (ended.code, ended.doubts) == (-9, ())
    assert len(upstream.get(VOLUMES)) == 1
    assert "dropped by flyctl" in (room.runs / "a1" / "requests.jsonl").read_text()


@pytest.mark.parametrize(("value", "off"), [("1", True), ("0", False)])
async def test_the_guard_can_be_turned_off(room: Room, value: str, off: bool) -> None:
    base = "http://127.0.0.1:9"
    fly = room.fly(FLYWIZARD_NO_GUARD=value, FLY_FLAPS_BASE_URL=base)
    ended = await fly.run(room.command("env=FLY_FLAPS_BASE_URL", guarded=True), attempt="a1")
    assert (ended.stdout.strip() == base) is off


async def test_looking_and_private_commands_leave_no_file(room: Room) -> None:
    for options in ({"changes": False}, {"private": True}):
        ended = await room.fly().run(room.command("say=marked", **options), on_output=room.heard)
        assert ended.stdout == "marked\n"
    assert not room.runs.exists()
    assert room.lines == [("stdout", "marked")]


async def test_a_keeper_is_no_child_that_ends_with_us(room: Room) -> None:
    async with going(room, room.fly(), room.command(f"await={room.go}")):
        child, keeper = room.born[0]["pid"], room.born[0]["keeper_pid"]
        sessions = {os.getsid(0), os.getsid(child), os.getsid(keeper)}
        room.go.touch()
    assert len(sessions) == 3


def test_the_start_of_a_process_tells_it_from_another() -> None:
    child = subprocess.Popen([sys.executable, "-IS", "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    started = start_time(child.pid)
    assert is_alive(child.pid, started)
    assert not is_alive(child.pid, "1")
    child.stdin.close()
    while start_time(child.pid) is not None:  # a zombie counts as dead
        time.sleep(0.01)
    assert not is_alive(child.pid, started)
    child.wait()
