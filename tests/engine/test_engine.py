"""The engine: order, concurrency, intents, doubt, failures, stopping."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.engine import Control, Earlier, Engine, Result, attempt_name
from flywizard.events import Event, Problem, StepDone, StepFailed, StepSkipped, StepStarted
from flywizard.plan import Plan, PlanError, Probe, Step, StepError
from flywizard.ports import Context, Ports
from tests.support.fake_ports import FakeClock, FakeFly, Record, Thing, fake_ports

BAD = Problem("APP-1", "taken", "somebody has it")


async def run(
    things: list[Thing],
    *,
    journal: Record | None = None,
    earlier: dict[str, Earlier] | None = None,
    control: Control | None = None,
    ports: Ports | None = None,
    **options: Any,
) -> tuple[Result, list[Event], Record]:
    events: list[Event] = []
    record = Record() if journal is None else journal
    plan = Plan("p", tuple(t.step() for t in things))
    engine = Engine(plan, ports or fake_ports(), record, events.append, run="r1", earlier=earlier, **options)
    result = await engine.run(control or Control())
    return result, events, record


async def test_steps_run_in_the_order_of_their_needs() -> None:
    world: set[str] = set()
    things = [Thing("c", world, needs=("b",)), Thing("b", world, needs=("a",)), Thing("a", world)]
    result, events, _ = await run(things)
    assert result.outcome == "done"
    assert [e.step for e in events if isinstance(e, StepDone)] == ["a", "b", "c"]


async def test_the_intent_is_written_before_the_step_acts() -> None:
    world: set[str] = set()
    thing = Thing("a", world)
    journal = Record()
    thing.gate = asyncio.Event()
    task = asyncio.create_task(run([thing], journal=journal))
    await thing.entered.wait()
    assert journal.kinds("a") == ["intent"]
    thing.gate.set()
    await task
    assert journal.kinds("a") == ["intent", "done"]
    assert journal[-1]["facts"] == {"id": "a"}


async def test_what_is_there_is_adopted_without_an_intent() -> None:
    world = {"a"}
    thing = Thing("a", world)
    result, events, journal = await run([thing])
    assert result.outcome == "nothing-to-do"
    assert thing.applied == 0
    assert journal.kinds("a") == ["done"]
    assert [type(e) for e in events] == [StepSkipped]


async def test_independent_steps_overlap_up_to_the_limit() -> None:
    world: set[str] = set()
    things = [Thing(n, world) for n in "abcde"]
    gate = asyncio.Event()
    for thing in things:
        thing.gate = gate
    task = asyncio.create_task(run(things, concurrency=3))
    await asyncio.gather(*(t.entered.wait() for t in things[:3]))
    await asyncio.sleep(0)
    assert [t.entered.is_set() for t in things] == [True, True, True, False, False]
    gate.set()
    assert (await task)[0].outcome == "done"


async def test_exclusive_steps_take_turns() -> None:
    world: set[str] = set()
    things = [Thing(n, world, exclusive="secrets") for n in "ab"]
    things[0].gate = asyncio.Event()
    task = asyncio.create_task(run(things))
    await things[0].entered.wait()
    await asyncio.sleep(0)
    assert not things[1].entered.is_set()
    things[0].gate.set()
    await task
    assert things[1].applied == 1


async def test_a_failed_step_keeps_its_dependants_from_running_and_others_finish() -> None:
    world: set[str] = set()
    bad = Thing("a", world)
    bad.error = StepError(BAD)
    after, beside = Thing("b", world, needs=("a",)), Thing("c", world)
    result, events, journal = await run([bad, after, beside])
    assert result.outcome == "failed"
    assert after.applied == 0
    assert beside.applied == 1
    assert journal.kinds("a") == ["intent", "failed"]
    assert [e.problem.id for e in events if isinstance(e, StepFailed)] == ["APP-1"]


async def test_a_failure_whose_thing_stands_all_the_same_is_settled_by_a_look() -> None:
    world: set[str] = set()
    thing = Thing("a", world)
    thing.error, thing.before_error = StepError(BAD), True
    result, events, _ = await run([thing])
    assert result.outcome == "done"
    assert "settled by a look" in next(e.text for e in events if isinstance(e, StepDone))


async def test_a_crash_inside_a_step_is_a_failed_step_without_its_text() -> None:
    thing = Thing("a", set())
    thing.error = RuntimeError("token fm2_verysecret")
    result, events, _ = await run([thing])
    problem = next(e.problem for e in events if isinstance(e, StepFailed))
    assert result.outcome == "failed"
    assert problem.id == "CRASH"
    assert "fm2_verysecret" not in repr(problem)
    assert "RuntimeError" in problem.why


async def test_a_journal_that_cannot_be_written_stops_before_the_action() -> None:
    world: set[str] = set()
    journal = Record()
    journal.fail_at = 2
    things = [Thing("a", world), Thing("b", world, needs=("a",)), Thing("c", world, needs=("b",))]
    result, events, _ = await run(things, journal=journal)
    assert result.outcome == "failed"
    assert things[1].applied == 0
    assert world == {"a"}
    assert [e.problem.id for e in events if isinstance(e, StepFailed)] == ["JOURNAL-1"]


async def test_a_step_in_doubt_is_followed_then_probed() -> None:
    world = {"a"}
    ports = fake_ports()
    earlier = {"a": Earlier("in-doubt", "r0-a-1")}
    result, _, _ = await run([Thing("a", world)], earlier=earlier, ports=ports)
    assert isinstance(ports.fly, FakeFly)
    assert ports.fly.settled == ["r0-a-1"]
    assert result.outcome == "nothing-to-do"


async def test_facts_of_earlier_runs_reach_later_steps() -> None:
    seen: dict[str, str] = {}

    async def probe(ctx: Context) -> Probe:
        seen.update(ctx.facts)
        return Probe("present")

    step = Step("b", "B", "thing", "b", "test", "create", probe, probe, needs=("a",))
    plan = Plan("p", (Thing("a", {"a"}).step(), step))
    earlier = {"a": Earlier("done", facts={"id": "old", "extra": "kept"})}
    await Engine(plan, fake_ports(), Record(), lambda e: None, run="r", earlier=earlier).run(Control())
    assert seen == {"a/id": "a", "a/extra": "kept"}


async def test_unknown_state_is_a_named_problem_and_nothing_is_made() -> None:
    async def probe(ctx: Context) -> Probe:
        return Probe("unknown", "two of them")

    applied = []

    async def apply(ctx: Context) -> Probe:
        applied.append(1)
        return Probe("present")

    events: list[Event] = []
    plan = Plan("p", (Step("a", "A", "thing", "a", "test", "create", probe, apply),))
    await Engine(plan, fake_ports(), Record(), events.append, run="r").run(Control())
    assert not applied
    assert [e.problem.id for e in events if isinstance(e, StepFailed)] == ["DOUBT"]


async def test_after_step_finishes_what_runs_and_starts_nothing_new() -> None:
    world: set[str] = set()
    first, second = Thing("a", world), Thing("b", world, needs=("a",))
    first.gate = asyncio.Event()
    control = Control()
    task = asyncio.create_task(run([first, second], control=control))
    await first.entered.wait()
    control.stop("after-step")
    await asyncio.sleep(0)
    first.gate.set()
    result, _, _ = await task
    assert result.outcome == "interrupted"
    assert world == {"a"}


async def test_leave_cancels_our_waiting_but_interrupts_no_child() -> None:
    thing = Thing("a", set())
    thing.gate = asyncio.Event()
    control, ports, journal = Control(), fake_ports(), Record()
    task = asyncio.create_task(run([thing], control=control, ports=ports, journal=journal))
    await thing.entered.wait()
    control.stop("leave")
    result, _, _ = await task
    assert isinstance(ports.fly, FakeFly)
    assert (result.outcome, ports.fly.interrupted) == ("interrupted", 0)
    assert journal.kinds("a") == ["intent"]


async def test_now_interrupts_the_children_and_leaves_the_step_in_doubt() -> None:
    thing = Thing("a", set())
    thing.gate = asyncio.Event()
    thing.error = StepError(Problem("STOPPED", "", ""))
    control, ports, journal = Control(), fake_ports(), Record()
    task = asyncio.create_task(run([thing], control=control, ports=ports, journal=journal))
    await thing.entered.wait()
    control.stop("now")
    thing.gate.set()
    result, events, _ = await task
    assert isinstance(ports.fly, FakeFly)
    assert (result.outcome, ports.fly.interrupted) == ("interrupted", 1)
    assert journal.kinds("a") == ["intent"]
    assert not [e for e in events if isinstance(e, StepFailed)]


async def test_asking_for_now_twice_kills() -> None:
    thing = Thing("a", set())
    thing.gate = asyncio.Event()
    control, ports = Control(), fake_ports()
    task = asyncio.create_task(run([thing], control=control, ports=ports))
    await thing.entered.wait()
    assert isinstance(ports.clock, FakeClock)
    ports.clock.stuck = True
    control.stop("now")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    control.stop("now")
    result, _, _ = await task
    assert isinstance(ports.fly, FakeFly)
    assert (result.outcome, ports.fly.interrupted, ports.fly.killed) == ("interrupted", 1, 1)


async def test_a_step_skipped_on_request_lets_others_go_on() -> None:
    world: set[str] = set()
    skipped, after = Thing("a", world), Thing("b", world, needs=("a",))
    result, _, journal = await run([skipped, after], skip=frozenset({"a"}))
    assert result.outcome == "done"
    assert world == {"b"}
    assert journal.kinds("a") == ["skipped"]


async def test_texts_are_scrubbed_before_they_are_events() -> None:
    async def probe(ctx: Context) -> Probe:
        return Probe("absent")

    async def apply(ctx: Context) -> Probe:
        ctx.report.output("stdout", "password hunter22")
        ctx.report.progress("hunter22")
        raise StepError(Problem("X", "hunter22", "hunter22", raw="hunter22", log=("hunter22",)))

    events: list[Event] = []
    plan = Plan("p", (Step("a", "A", "thing", "a", "test", "create", probe, apply),))
    engine = Engine(
        plan, fake_ports(), Record(), events.append, run="r", scrub=lambda t: t.replace("hunter22", "••••")
    )
    await engine.run(Control())
    assert any(isinstance(e, StepStarted) for e in events)
    assert "hunter22" not in repr(events)


def test_a_plan_refuses_repeats_unknown_needs_and_cycles() -> None:
    world: set[str] = set()
    with pytest.raises(PlanError, match="two steps"):
        Plan("p", (Thing("a", world).step(), Thing("a", world).step()))
    with pytest.raises(PlanError, match="not in the plan"):
        Plan("p", (Thing("a", world, needs=("z",)).step(),))
    with pytest.raises(PlanError, match="wait for each other"):
        Plan("p", (Thing("a", world, needs=("b",)).step(), Thing("b", world, needs=("a",)).step()))


def test_attempt_names_are_safe_for_files() -> None:
    assert attempt_name("file.a/b c", "r1") == "r1-file.a_b_c-1"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_kill_after_every_record_and_run_again_ends_the_same(data: st.DataObject) -> None:
    """Whatever the graph and wherever the journal stops, a second run ends the same, each thing made once."""
    size = data.draw(st.integers(1, 6))
    needs = [tuple(f"t{j}" for j in range(i) if data.draw(st.booleans())) for i in range(size)]
    kill = data.draw(st.integers(0, size * 2))
    world: set[str] = set()
    things = [Thing(f"t{i}", world, needs=needs[i]) for i in range(size)]

    async def scenario() -> None:
        journal = Record()
        journal.fail_at = kill
        await run(things, journal=journal)
        status: dict[str, Literal["in-doubt", "done", "failed"]] = {
            "intent": "in-doubt",
            "done": "done",
            "failed": "failed",
        }
        earlier = {r["step"]: Earlier(status[r["kind"]], r.get("attempt", "")) for r in journal}
        result, _, _ = await run(things, earlier=earlier)
        assert result.outcome in ("done", "nothing-to-do")

    asyncio.run(scenario())
    assert world == {f"t{i}" for i in range(size)}
    assert all(t.applied == 1 for t in things)
