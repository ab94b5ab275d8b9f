"""The engine on the example's plan with a simulated clock: how much longer it takes than its critical path."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from generate_docs import ANSWERS, example_plan  # noqa: E402

from flywizard.engine import Control, Engine  # noqa: E402
from flywizard.plan import Plan, Probe, Step  # noqa: E402
from flywizard.ports import Context, Ports  # noqa: E402
from tests.support.virtual_time import run_virtual  # noqa: E402

DURATIONS: Mapping[str, float] = {
    "database": 240.0, "build.helpdesk-api": 90.0, "build.helpdesk-web": 120.0, "release": 45.0, "schema": 5.0,
    "secrets": 2.0, "app": 2.0, "extension": 2.0, "address": 1.0, "check": 2.0, "file": 0.01,
}  # fmt: skip
"""Seconds of each step: database, builds, release and roll-out as P-11 wants them."""
LOOK = 0.3
"""Seconds of each look."""


@dataclass
class Outcome:
    """What came out."""

    took: float
    path: float
    work: float
    cpu: float
    steps: int

    @property
    def over(self) -> float:
        return self.took / self.path - 1

    @property
    def parallel(self) -> float:
        return self.work / self.took


class _Clock:
    def now(self) -> float:
        return 1_700_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Nowhere:
    def append(self, kind: str, **fields: Any) -> None:
        return


def seconds_of(step_id: str) -> float:
    return DURATIONS.get(step_id, DURATIONS.get(step_id.partition(".")[0], 1.0))


def timed(step: Step) -> Step:
    """Return the step with waits in place of its work."""

    async def probe(ctx: Context) -> Probe:
        await asyncio.sleep(LOOK)
        return Probe("absent")

    async def apply(ctx: Context) -> Probe:
        await asyncio.sleep(seconds_of(step.id))
        return Probe("present")

    return replace(step, probe=probe, apply=apply, undo=None)


def critical_path(plan: Plan) -> float:
    """Return the longest way through the plan, looks included."""
    ends: dict[str, float] = {}

    def end(step_id: str) -> float:
        if step_id not in ends:
            ends[step_id] = (
                max((end(n) for n in plan[step_id].needs), default=0.0) + LOOK + seconds_of(step_id)
            )
        return ends[step_id]

    return max(end(s.id) for s in plan.steps)


def measure() -> Outcome:
    """Run the example's plan once in simulated time."""
    whole = example_plan(ANSWERS)
    plan = Plan(whole.project, tuple(timed(s) for s in whole.steps))
    nothing = cast("Any", None)
    ports = Ports(nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, _Clock())

    async def go() -> float:
        engine = Engine(plan, ports, _Nowhere(), lambda event: None, run="bench")
        result = await engine.run(Control())
        if result.outcome != "done":
            raise RuntimeError(f"the run ended {result.outcome}: {result.problems}")
        return asyncio.get_running_loop().time()

    start = time.process_time()
    took = run_virtual(go())
    cpu = time.process_time() - start
    work = sum(LOOK + seconds_of(s.id) for s in plan.steps)
    return Outcome(took, critical_path(plan), work, cpu, len(plan.steps))


if __name__ == "__main__":
    print(measure())
