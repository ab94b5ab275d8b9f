"""Owns how the bench measures: spawn to exit, spawn to first byte, spawn to a text on a terminal, memory."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import statistics
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 60.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    goal: str = ""
    ok: bool | None = None
    note: str = ""


def ratio(what: str, value: float, goal: float, detail: str) -> Row:
    """Return a row whose goal is an upper limit of a ratio."""
    return Row(what, f"{value:.2f} ×", f"≤ {goal:g} ×", value <= goal, detail)


def in_turn(rounds: int, variants: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure all variants in turn, drop the first round, return each one's median."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, measure in variants.items():
            value = measure()
            if number:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def to_exit(argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Return the seconds from spawning to the exit."""
    start = time.perf_counter()
    subprocess.run(argv, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def to_first_byte(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> float:
    """Return the seconds from spawning to the first byte on stderr; the rest is not waited for."""
    start = time.perf_counter()
    child = subprocess.Popen(
        argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert child.stderr is not None
    first = os.read(child.stderr.fileno(), 1)
    seconds = time.perf_counter() - start
    end(child)
    child.stderr.close()
    if not first:
        raise RuntimeError(f"{argv} said nothing")
    return seconds


def end(child: subprocess.Popen[bytes]) -> None:
    """End a child and its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def resident(pid: int) -> float:
    """Return VmRSS in MB, or NaN where /proc is not there."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    return next(int(row.split()[1]) / 1024 for row in text.splitlines() if row.startswith("VmRSS"))


@dataclass
class Shown:
    """What a program on a terminal took until its text stood there."""

    seconds: float
    first_mb: float
    later_mb: float


def on_terminal(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    marker: str,
    size: tuple[int, int] = (80, 24),
    *,
    linger: float = 0.0,
) -> Shown:
    """Run a program in a pty until ``marker`` is visible; with ``linger`` look at its memory then, and again after.

    Raises:
        RuntimeError: it ended, or the text never came.
    """
    columns, rows = size
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (rows, columns))
    start = time.perf_counter()
    child = subprocess.Popen(
        argv, env=dict(env), cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        while not any(marker in str(row) for row in screen.display):
            if time.perf_counter() - start > LIMIT or child.poll() is not None:
                raise RuntimeError(f"`{marker}` never came:\n" + "\n".join(map(str, screen.display)))
            _take(ours, stream, 0.2)
        seconds = time.perf_counter() - start
        first = later = float("nan")
        if linger:
            first = resident(child.pid)
            until = time.perf_counter() + linger
            while time.perf_counter() < until:
                _take(ours, stream, 0.05)
            later = resident(child.pid)
        return Shown(seconds, first, later)
    finally:
        end(child)
        os.close(ours)


def run_in_terminal(argv: Sequence[str], env: Mapping[str, str], size: tuple[int, int]) -> None:
    """Run a program in a pty to its end, throwing away what it draws."""
    columns, rows = size
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (rows, columns))
    child = subprocess.Popen(
        argv, env=dict(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        while child.poll() is None:
            ready, _, _ = select.select([ours], [], [], 0.1)
            if ready:
                with contextlib.suppress(OSError):
                    os.read(ours, 1 << 16)
        if child.returncode:
            raise RuntimeError(f"{argv} ended with {child.returncode}")
    finally:
        end(child)
        os.close(ours)


def _take(descriptor: int, stream: pyte.ByteStream, timeout: float) -> None:
    ready, _, _ = select.select([descriptor], [], [], timeout)
    if ready:
        with contextlib.suppress(OSError):
            stream.feed(os.read(descriptor, 1 << 16))
