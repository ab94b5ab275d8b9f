"""Owns the World's time: a clock whose waits can be sped up, one for tests, and how long things take."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields
from typing import Protocol


class RehearsalClock(Protocol):
    """What the simulated platform asks of a clock."""

    @property
    def speed(self) -> float:
        """How many simulated seconds of waiting fit into a real one."""
        ...

    def now(self) -> float:
        """Return Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of the World's time."""
        ...


class WorldClock:
    """Real time, with waits divided by ``speed``.

    The time of day is the real one, so that time stamps, leases and the ``Date`` header are right for real
    children; only durations of the World are shorter.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        """Begin at ``start`` (Unix seconds), or now.

        Raises:
            ValueError: ``speed`` is not positive.
        """
        if not speed > 0:
            raise ValueError("the speed of the rehearsal must be a positive number")
        self.speed = float(speed)
        self._offset = 0.0 if start is None else start - time.time()

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds / speed`` real seconds."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)


class ManualClock:
    """A clock for tests: it stands still, and a wait moves it at once."""

    def __init__(self, start: float = 1_767_225_600.0, speed: float = 1.0) -> None:
        """Begin at ``start`` (Unix seconds)."""
        self.speed = float(speed)
        self._now = start

    def now(self) -> float:
        """Return Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds`` of the World's time."""
        self._now += seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Move on at once, and let other tasks run."""
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the simulated platform takes, in seconds before the speed divides them."""

    machine_start: float = 3.0
    """Image pull and boot, until the state is ``started``."""
    machine_stop: float = 1.0
    checks: float = 8.0
    """From ``started`` until the health checks pass."""
    smoke: float = 11.0
    """How old the start event must look for flyctl's smoke check (it wants more than 10 s)."""
    cluster: float = 150.0
    """Managed Postgres, until ``ready``."""
    cluster_slow: float = 1500.0
    build_api: float = 90.0
    build_web: float = 120.0
    build_cached: float = 6.0
    release_command: float = 5.0
    crash: float = 1.0
    """From a crashing machine's start to its exit."""
    logs: float = 2.0
    """Between lines of a running service."""
    login: float = 3.0
    """From the browser's page until it is confirmed by itself."""
    heartbeat: float = 15.0
    """Between health lines in a service's log."""

    def at(self, name: str, speed: float) -> float:
        """Return the named duration in real seconds at this speed."""
        if name not in {f.name for f in fields(self)}:
            raise KeyError(name)
        return float(getattr(self, name)) / speed
