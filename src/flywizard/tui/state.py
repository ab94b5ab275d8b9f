"""Owns what the Deploy screen knows of a run: a pure reducer over events, without logs and without widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from flywizard.events import (
    Event,
    Outcome,
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

Status: TypeAlias = Literal["todo", "running", "waiting", "done", "skipped", "failed"]
FINISHED: frozenset[Status] = frozenset({"done", "skipped"})
ACTIVE: frozenset[Status] = frozenset({"running", "waiting"})


@dataclass(frozen=True, slots=True)
class StepState:
    """One step as the tree draws it."""

    info: StepInfo
    status: Status = "todo"
    text: str = ""
    started: float | None = None
    """Seconds of the screen's clock."""
    seconds: float | None = None
    """Duration once it ended."""
    done: int | None = None
    total: int | None = None
    commands: tuple[str, ...] = ()

    def elapsed(self, now: float) -> float | None:
        """Return seconds so far, or in all; None before it started."""
        if self.seconds is not None:
            return self.seconds
        return None if self.started is None else max(0.0, now - self.started)


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as it stands."""

    steps: tuple[StepState, ...] = ()
    command: str = ""
    changes: int = 0
    started: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    problem: Problem | None = None
    failed: str = ""
    """Id of the step that failed first."""
    urls: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    """The closing sentence of the run."""

    @property
    def finished(self) -> int:
        """Return how many steps are done or skipped."""
        return sum(step.status in FINISHED for step in self.steps)

    @property
    def running(self) -> bool:
        """Tell whether the run has begun and not ended."""
        return self.started is not None and self.ended is None

    def step(self, step_id: str) -> StepState | None:
        """Return the step of that id, or None."""
        return next((s for s in self.steps if s.info.id == step_id), None)

    def elapsed(self, now: float) -> float:
        """Return seconds since the run began, or its duration."""
        if self.started is None:
            return 0.0
        return max(0.0, (now if self.ended is None else self.ended) - self.started)

    def remaining(self, now: float, speed: float = 1.0) -> float | None:
        """Return a guess of the seconds left: the longest chain of steps that are not done.

        Expected durations are of the platform's clock, so a rehearsal divides them by ``speed``.
        None when no open step has an expectation.
        """
        known = False
        ends: dict[str, float] = {}
        for step in self.steps:
            before = max((ends.get(need, 0.0) for need in step.info.needs), default=0.0)
            own = 0.0
            if step.status not in FINISHED and step.info.expected is not None:
                known = True
                low, high = step.info.expected
                own = max(0.0, (low + high) / 2 / max(speed, 0.001) - (step.elapsed(now) or 0.0))
            ends[step.info.id] = before + own
        return max(ends.values(), default=0.0) if known else None


def _with(state: RunState, step_id: str, title: str = "", **changes: object) -> RunState:
    """Return the state with one step changed; a step nobody announced is added at the end."""
    steps = list(state.steps)
    for index, step in enumerate(steps):
        if step.info.id == step_id:
            steps[index] = replace(step, **changes)  # type: ignore[arg-type]  # names are checked by replace
            break
    else:
        info = StepInfo(step_id, title or step_id, (), "run")
        steps.append(replace(StepState(info), **changes))  # type: ignore[arg-type]  # as above
    return replace(state, steps=tuple(steps))


def reduce(state: RunState, event: Event, now: float) -> RunState:
    """Return the state after ``event``, which arrived at ``now`` (seconds of the screen's clock)."""
    match event:
        case RunStarted():
            return RunState(command=event.command, started=now)
        case PlanReady():
            steps = tuple(StepState(info) for info in event.steps)
            started = now if state.started is None else state.started
            return replace(state, steps=steps, changes=event.changes, started=started)
        case StepStarted():
            return _with(
                state,
                event.step,
                event.title,
                status="running",
                text="",
                started=now,
                seconds=None,
                done=None,
                total=None,
                commands=event.commands,
            )
        case StepOutput():
            return state
        case StepProgress():
            return _with(
                state, event.step, status="running", text=event.text, done=event.done, total=event.total
            )
        case StepWaiting():
            return _with(state, event.step, status="waiting", text=event.text)
        case StepSkipped():
            return _with(state, event.step, status="skipped", text=event.reason)
        case StepDone():
            return _with(
                state,
                event.step,
                status="done",
                text=event.text,
                seconds=event.seconds,
                done=None,
                total=None,
            )
        case StepFailed():
            step = state.step(event.step)
            spent = step.elapsed(now) if step else None
            state = _with(state, event.step, status="failed", text=event.problem.what, seconds=spent)
            if state.problem is not None:
                return state
            return replace(state, problem=event.problem, failed=event.step)
        case RunEnded():
            return replace(state, ended=now, outcome=event.outcome, urls=dict(event.urls), text=event.text)
        case _ as never:
            assert_never(never)
