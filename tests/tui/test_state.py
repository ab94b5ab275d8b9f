from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.events import (
    Event,
    PlanReady,
    Problem,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepInfo,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from flywizard.tui.logbook import LogBook
from flywizard.tui.look import clock, short, usual
from flywizard.tui.state import RunState, reduce
from tests.support.fake_wizard import STEPS, failing, resumed, script

A = StepInfo("a", "First", (), "create", (10, 30))
B = StepInfo("b", "Second", ("a",), "run", (5, 5))
C = StepInfo("c", "Beside", (), "run", (60, 60))
BAD = Problem("X-1", "it broke", "because")


def fold(*events: tuple[float, Event]) -> RunState:
    state = RunState()
    for now, event in events:
        state = reduce(state, event, now)
    return state


@pytest.mark.parametrize(
    ("event", "status", "text"),
    [
        (StepStarted("a", "First"), "running", ""),
        (StepProgress("a", "half", 1, 2), "running", "half"),
        (StepWaiting("a", "for Fly"), "waiting", "for Fly"),
        (StepSkipped("a", "there already"), "skipped", "there already"),
        (StepDone("a", "made", 3.0), "done", "made"),
        (StepFailed("a", BAD), "failed", "it broke"),
    ],
)
def test_each_event_sets_the_step(event: Event, status: str, text: str) -> None:
    state = fold((0, PlanReady((A, B), 2, "d")), (1, event))
    step = state.step("a")
    assert step is not None
    assert (step.status, step.text) == (status, text)
    assert state.step("b") == fold((0, PlanReady((A, B), 2, "d"))).step("b")


def test_output_leaves_the_state_alone() -> None:
    state = fold((0, PlanReady((A,), 1, "d")))
    assert reduce(state, StepOutput("a", "stdout", "hello"), 1) is state


def test_elapsed_runs_and_then_stands() -> None:
    state = fold((5, RunStarted("p", "apply")), (5, PlanReady((A,), 1, "d")), (7, StepStarted("a", "First")))
    step = state.step("a")
    assert step is not None
    assert step.elapsed(10) == 3
    assert state.elapsed(10) == 5
    state = reduce(state, StepDone("a", "", 3.25), 11)
    state = reduce(state, RunEnded("done", {"api": "https://x"}), 12)
    step = state.step("a")
    assert step is not None
    assert step.elapsed(99) == 3.25
    assert state.elapsed(99) == 7
    assert state.urls == {"api": "https://x"}


def test_the_first_problem_is_the_problem() -> None:
    other = Problem("Y-1", "also", "later")
    state = fold((0, PlanReady((A, B), 2, "d")), (1, StepFailed("a", BAD)), (2, StepFailed("b", other)))
    assert state.problem is BAD
    assert state.failed == "a"


def test_a_step_nobody_announced_is_added() -> None:
    state = fold((0, PlanReady((A,), 1, "d")), (1, StepStarted("z", "Stray")))
    assert [s.info.id for s in state.steps] == ["a", "z"]


def test_remaining_is_the_longest_chain() -> None:
    plan = PlanReady((A, B, C), 3, "d")
    assert fold((0, plan)).remaining(0) == 60
    state = fold((0, plan), (0, StepStarted("a", "First")), (0, StepStarted("c", "Beside")))
    assert state.remaining(50) == 10
    assert state.remaining(6, speed=2) == 24
    state = reduce(state, StepDone("c", "", 50), 50)
    assert state.remaining(10) == 15
    nothing = StepInfo("n", "No idea", (), "run")
    assert fold((0, PlanReady((nothing,), 1, "d"))).remaining(0) is None


def test_a_new_run_forgets_the_old_problem() -> None:
    state = RunState()
    for beat in failing():
        for event in beat:
            state = reduce(state, event, 1)
    assert state.outcome == "failed"
    assert state.problem is not None
    for beat in resumed():
        for event in beat:
            state = reduce(state, event, 2)
    assert (state.outcome, state.problem) == ("done", None)
    assert state.finished == len(STEPS)


@given(st.lists(st.sampled_from([e for beat in script() + failing() + resumed() for e in beat]), max_size=60))
def test_any_order_of_events_gives_a_state_that_counts(events: list[Event]) -> None:
    state = RunState()
    for now, event in enumerate(events):
        state = reduce(state, event, float(now))
    assert 0 <= state.finished <= len(state.steps)
    assert len({s.info.id for s in state.steps}) == len(state.steps)
    assert (state.remaining(99.0) or 0) >= 0


def test_the_book_is_bounded_and_batched() -> None:
    book = LogBook(limit=10)
    for n in range(25):
        book.add(StepOutput("s", "stdout", str(n)), "00:00:00")
    assert (book.total, len(book.lines)) == (25, 10)
    assert [e.text for e in book.drain()] == [str(n) for n in range(15, 25)]
    assert book.drain() == []
    book.add(StepOutput("build.api", "stdout", "one more"), "12:00:00")
    assert [e.text for e in book.drain()] == ["one more"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (192.9, "3:12"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_durations_in_words() -> None:
    assert short(0.0124) == "12 ms"
    assert short(1.44) == "1.4 s"
    assert usual((120, 240)) == "usually 2–4 min"
    assert usual((2, 10)) == "usually 2–10 s"
    assert usual(None) == ""
