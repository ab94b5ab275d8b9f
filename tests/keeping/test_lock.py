"""Owns the tests of the run lock: one holder, named, and taken over when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flywizard.lock import Holder, LockHeld, RunLock

CHILD = """
import sys
from pathlib import Path
from flywizard.lock import RunLock
RunLock(Path(sys.argv[1])).acquire("flywizard \\x1b[31mapply")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "run.lock"


def test_the_second_is_told_who_holds_it(path: Path) -> None:
    first, second = RunLock(path), RunLock(path)
    assert first.acquire("flywizard apply", now=lambda: 0.0) is None
    with pytest.raises(LockHeld) as caught:
        second.acquire("flywizard deploy")
    holder = caught.value.holder
    assert (holder.pid, holder.command, holder.time) == (
        os.getpid(),
        "flywizard apply",
        "1970-01-01T00:00:00.000Z",
    )
    assert holder.host
    assert holder.version
    assert f"process {os.getpid()}" in holder.words()
    assert second.holder() == holder
    first.release()
    first.release()
    assert second.holder() is None
    assert second.acquire("flywizard deploy") is None
    second.release()


def test_a_dead_holder_is_taken_over_and_named(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        lock = RunLock(path)
        with pytest.raises(LockHeld) as caught:
            lock.acquire("x")
        assert caught.value.holder.pid == child.pid
        assert caught.value.holder.command == "flywizard apply"
        child.kill()
        child.wait()
    with lock:
        dead = lock.acquire("x")
        assert dead is not None
        assert dead.pid == child.pid
    assert not lock.held


def test_waiting_takes_it_when_it_is_free(path: Path) -> None:
    first, second = RunLock(path), RunLock(path)
    first.acquire("one")
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds
        if time[0] > 0.5:
            first.release()

    second.acquire("two", wait=5, monotonic=lambda: time[0], sleep=sleep)
    assert second.held
    with pytest.raises(LockHeld):
        first.acquire(
            "one", wait=1, monotonic=lambda: time[0], sleep=lambda s: time.__setitem__(0, time[0] + s)
        )
    second.release()


def test_garbage_in_the_file_is_nobody(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"\xff{")
    path.chmod(0o600)
    with RunLock(path) as lock:
        assert lock.acquire("x") is None
    assert "not written its name" in Holder().words()


def test_a_child_does_not_keep_the_lock(path: Path) -> None:
    lock = RunLock(path)
    lock.acquire("x")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        with RunLock(path) as other:
            other.acquire("y")
        child.communicate(b"\n")


def test_holding_twice_is_a_mistake(path: Path) -> None:
    with RunLock(path) as lock:
        lock.acquire("x")
        with pytest.raises(RuntimeError):
            lock.acquire("x")
