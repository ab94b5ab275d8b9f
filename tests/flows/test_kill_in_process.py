"""A wizard killed at any moment and started again ends as one that nobody disturbed, and makes nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flywizard.fronts import StopKind
from flywizard.journal import read_state
from tests.support.inprocess import Killed, Platform, counts, deploy, normalised, play

New = Callable[..., Platform]


@dataclass(frozen=True)
class Undisturbed:
    """What a run without a kill leaves behind."""

    world: dict[str, Any]
    counts: dict[str, int]
    records: tuple[str, ...]
    first_request: int
    requests: int


@pytest.fixture
def undisturbed(new_platform: New) -> Undisturbed:
    platform = new_platform()
    first: list[int] = []

    def note(number: int, after: bool) -> None:
        first.append(platform.requests + 1)

    platform.on_append = note

    async def scene() -> dict[str, Any]:
        run = await deploy(platform)
        assert run.outcome == "done"
        return normalised(platform.world)

    world = play(platform, scene)
    lines = [json.loads(line) for line in platform.journal.read_text().splitlines()]
    names = tuple(f"{r['kind']} {r.get('step', '')}".strip() for r in lines)
    return Undisturbed(world, counts(platform), names, first[0], platform.requests)


def test_the_undisturbed_run_makes_each_thing_once(undisturbed: Undisturbed) -> None:
    assert undisturbed.counts == {
        "app": 2, "cluster": 1, "machine": 3, "volume": 0, "address": 4, "image": 2,
        "app made": 2, "cluster made": 1, "machine made": 3, "schema applied": 1,
    }  # fmt: skip
    steps = {name.partition(" ")[2] for name in undisturbed.records if name.startswith("intent")}
    assert {"database", "schema", "app.helpdesk-api", "build.helpdesk-web"} <= steps | set(
        undisturbed.records
    )
    assert undisturbed.records[0] == "run"
    assert undisturbed.records[-1] == "end"


def differences(platform: Platform, undisturbed: Undisturbed, world: dict[str, Any]) -> list[str]:
    """Say in which way the end differs from the undisturbed one."""
    found = []
    for part, wanted in undisturbed.world.items():
        if world[part] != wanted:
            found.append(f"{part}: {world[part]} instead of {wanted}")
    if counts(platform) != undisturbed.counts:
        found.append(f"counts {counts(platform)}")
    if platform.bugs:
        found.append(platform.bugs[0])
    return found


async def again(platform: Platform, *, resume: bool, third: bool = False) -> list[str]:
    """Start a new wizard after a kill; it must end well, and a ``third`` one must have nothing to do."""
    platform.on_append = platform.on_request = lambda number, after: None
    last = platform.journal_state()
    resume = resume and last.resumable
    run = await deploy(platform, resume=resume)
    wrong = []
    wanted = ("done", "nothing-to-do")
    if run.outcome not in wanted:
        wrong.append(f"{'resumed' if resume else 'started again'}: {run.outcome} {run.blocked} {run.problem}")
        return wrong
    if third:
        sent = len(platform.changing())
        last_run = await deploy(platform)
        if last_run.outcome != "nothing-to-do" or platform.changing()[sent:]:
            wrong.append(f"third run: {last_run.outcome} {last_run.problem} {platform.changing()[sent:]}")
    # a file that was written before the kill is no step of the next plan
    doubtful = [s for s in read_state(platform.journal).in_doubt if not s.startswith("file.")]
    if doubtful:
        wrong.append(f"still in doubt: {doubtful}")
    return wrong


def tear(platform: Platform) -> None:
    """Leave half of the journal's last line, as a power cut does."""
    text = platform.journal.read_bytes()
    start = text.rstrip(b"\n").rfind(b"\n") + 1
    platform.journal.write_bytes(text[: start + (len(text) - start) // 2])


@pytest.mark.parametrize("how", ["before", "after", "torn"])
def test_killed_at_every_record(new_platform: New, undisturbed: Undisturbed, how: str) -> None:
    """``before`` and ``after`` leave the keepers' children running; ``torn`` is a power cut.

    Every second time the next wizard resumes, else it goes through the answers and the Review again.
    """
    wrong: list[str] = []
    for number, name in enumerate(undisturbed.records, 1):
        if how == "torn" and number % 2:
            continue
        platform, resume = new_platform(), number % 4 < 2

        def strike(at: int, after: bool, platform: Platform = platform, number: int = number) -> None:
            if at == number and after == (how != "before"):
                if how == "torn":
                    tear(platform)
                platform.kill(children=how == "torn")
                raise Killed

        platform.on_append = strike

        async def scene(platform: Platform = platform, resume: bool = resume) -> list[str]:
            run = await deploy(platform)
            assert run.outcome is None, "it was not killed"
            found = await again(platform, resume=resume, third=how == "after")
            return found or differences(platform, undisturbed, normalised(platform.world))

        wrong += [f"{how} record {number} ({name}): {text}" for text in play(platform, scene)]
    assert not wrong, "\n".join(wrong)


MOMENTS = 64


@pytest.mark.parametrize("children", [False, True], ids=["wizard", "power-cut"])
def test_killed_inside_commands(new_platform: New, undisturbed: Undisturbed, children: bool) -> None:
    rng = random.Random(f"moments {children}")
    span = range(undisturbed.first_request, undisturbed.requests + 1)
    moments = sorted(rng.sample(span, MOMENTS // 2))
    wrong: list[str] = []
    for number in moments:
        platform = new_platform()
        late = rng.random() < 0.6

        def strike(
            at: int, after: bool, platform: Platform = platform, number: int = number, late: bool = late
        ) -> None:
            if at == number and after == late and not platform.life.dead:
                ours = asyncio.current_task()
                platform.kill(children=children)
                if ours is platform.life.task or children:
                    raise Killed if ours is platform.life.task else asyncio.CancelledError

        platform.on_request = strike

        async def scene(platform: Platform = platform) -> list[str]:
            run = await deploy(platform)
            assert run.outcome is None, "it was not killed"
            found = await again(platform, resume=True)
            return found or differences(platform, undisturbed, normalised(platform.world))

        asked = f"request {number} {'answered' if late else 'asked'}"
        wrong += [f"{asked}: {text}" for text in play(platform, scene)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", ["after-step", "now", "leave"])
def test_stopped_on_request_at_any_moment(
    new_platform: New, undisturbed: Undisturbed, kind: StopKind
) -> None:
    """The conversation of Ctrl+C: the run ends as interrupted, its children as was asked, and resumes."""
    rng = random.Random(f"stop {kind}")
    span = range(undisturbed.first_request, undisturbed.requests + 1)
    wrong: list[str] = []
    outcomes: list[str | None] = []
    asked: list[asyncio.Task[None]] = []
    for number in sorted(rng.sample(span, MOMENTS // 4)):
        platform = new_platform()

        def strike(at: int, after: bool, platform: Platform = platform, number: int = number) -> None:
            if at == number and after:
                assert platform.session is not None
                asked.append(asyncio.ensure_future(platform.session.stop(kind)))

        platform.on_request = strike

        async def scene(platform: Platform = platform) -> list[str]:
            run = await deploy(platform)
            outcomes.append(run.outcome)
            if run.outcome not in ("interrupted", "done"):
                return [f"{run.outcome}: {run.failed}"]
            if run.outcome == "interrupted" and not platform.journal_state().resumable:
                return ["an interrupted run can't be resumed"]
            found = await again(platform, resume=True)
            return found or differences(platform, undisturbed, normalised(platform.world))

        wrong += [f"request {number}: {text}" for text in play(platform, scene)]
    assert not wrong, "\n".join(wrong)
    assert outcomes.count("interrupted") > len(outcomes) // 2
