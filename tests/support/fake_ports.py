"""Ports that do nothing, and a clock that moves only when told, for tests of the engine."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from flywizard.plan import Probe, Step
from flywizard.ports import Context, Ended, Ports


class FakeClock:
    """A clock whose sleep advances it at once."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.stuck = False

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.time += seconds
        await asyncio.sleep(0)


class FakeFly:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.interrupted = 0
        self.killed = 0

    async def run(self, command: Any, **_: Any) -> Ended:
        return Ended(0, "", "")

    async def settle(self, attempt: str, **_: Any) -> Ended | None:
        self.settled.append(attempt)
        return None

    async def interrupt(self) -> None:
        self.interrupted += 1

    async def kill(self) -> None:
        self.killed += 1


def fake_ports() -> Ports:
    nothing = cast("Any", None)
    return Ports(FakeFly(), nothing, nothing, nothing, nothing, nothing, nothing, nothing, FakeClock())


class Record(list[dict[str, Any]]):
    """A journal in memory; ``fail_at`` makes the n-th append raise."""

    fail_at: int | None = None

    def append(self, kind: str, **fields: Any) -> None:  # type: ignore[override]  # the journal's own shape
        if self.fail_at is not None and len(self) >= self.fail_at:
            raise OSError(28, "No space left on device")
        super().append({"kind": kind, **fields})

    def kinds(self, step: str) -> list[str]:
        return [r["kind"] for r in self if r.get("step") == step]


class Thing:
    """One thing of a tiny world: a step that makes it."""

    def __init__(self, name: str, world: set[str], *, needs: tuple[str, ...] = (), **options: Any) -> None:
        self.name, self.world, self.needs, self.options = name, world, needs, options
        self.applied = 0
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.error: BaseException | None = None
        self.before_error = False

    def step(self) -> Step:
        async def probe(ctx: Context) -> Probe:
            return Probe("present" if self.name in self.world else "absent", "there", {"id": self.name})

        async def apply(ctx: Context) -> Probe:
            self.applied += 1
            self.entered.set()
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None and not self.before_error:
                raise self.error
            self.world.add(self.name)
            if self.error is not None:
                raise self.error
            return Probe("present", "made", {"id": self.name})

        return Step(
            id=self.name, title=self.name.title(), resource="thing", name=self.name, why="test", verb="create",
            probe=probe, apply=apply, needs=self.needs, **self.options,
        )  # fmt: skip
