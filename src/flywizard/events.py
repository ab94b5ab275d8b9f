"""Owns what fronts are told during a run: the closed union of events, their JSON form, and problems.

Texts in events are already clean (``text.py``): no control character, no secret, no path of the user's home.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["done", "failed", "interrupted", "nothing-to-do"]
Stream: TypeAlias = Literal["stdout", "stderr", "log"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing a user can do about a problem."""

    action: str
    """retry · edit:QUESTION · set:NAME · skip · undo · docs · copy · wait · quit · run:ACTION; fronts offer it as a key."""
    label: str
    """Imperative sentence, sentence case."""
    command: str | None = None
    """A command to run by hand, where there is one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure explained: what happened, why, and what to do, in this order."""

    id: str
    """Rule id such as ``APP-1``, or ``UNKNOWN``."""
    what: str
    why: str
    remedies: tuple[Remedy, ...] = ()
    docs: str | None = None
    """Address of a page, or None."""
    raw: str = ""
    """The clean raw text, newline separated."""
    log: tuple[str, ...] = ()
    """Last log lines that belong to it."""
    also: tuple[str, ...] = ()
    """Ids of further rules that match."""

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``step_failed.problem`` in the contract."""
        return {
            "id": self.id,
            "what": self.what,
            "why": self.why,
            "remedies": [{"action": r.action, "label": r.label, "command": r.command} for r in self.remedies],
            "docs": self.docs,
            "raw": self.raw,
            "log": list(self.log),
            "also": list(self.also),
        }


class StepError(Exception):
    """A step failed; carries the named problem, never a secret."""

    def __init__(self, problem: Problem, *, sure: bool = False) -> None:
        """Take the problem. ``sure``: it was found by a look, so that another look can't settle it."""
        super().__init__(problem.id, problem.what)
        self.problem = problem
        self.sure = sure


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What a front needs to draw a step before it runs."""

    id: str
    title: str
    needs: tuple[str, ...]
    verb: str
    expected: tuple[float, float] | None = None
    """Usual duration as (low, high) in seconds of the platform's clock."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins."""

    project: str
    command: str
    name = "run_started"


@dataclass(frozen=True, slots=True)
class PlanReady:
    """The plan of this run, in display order."""

    steps: tuple[StepInfo, ...]
    changes: int
    digest: str
    name = "plan_ready"


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins to act."""

    step: str
    title: str
    commands: tuple[str, ...] = ()
    """The commands it will run, as shown text."""
    name = "step_started"


@dataclass(frozen=True, slots=True)
class StepOutput:
    """One line of output of a step's command (stdout, stderr) or of a running service (log)."""

    step: str
    stream: Stream
    text: str
    service: str = ""
    """For ``log``: the service or process group the line comes from."""
    name = "step_output"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Progress of a step; ``total`` is None where nobody knows it."""

    step: str
    text: str
    done: int | None = None
    total: int | None = None
    name = "step_progress"


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """A step waits for something outside, or for its next try."""

    step: str
    text: str
    name = "step_waiting"


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step had nothing to do, or was skipped on request."""

    step: str
    reason: str
    name = "step_skipped"


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step succeeded."""

    step: str
    text: str
    seconds: float = 0.0
    name = "step_done"


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step failed with a named problem."""

    step: str
    problem: Problem
    name = "step_failed"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over."""

    outcome: Outcome
    urls: dict[str, str] = field(default_factory=dict)
    """Service name to public address."""
    text: str = ""
    name = "run_ended"


Event: TypeAlias = (
    RunStarted
    | PlanReady
    | StepStarted
    | StepOutput
    | StepProgress
    | StepWaiting
    | StepSkipped
    | StepDone
    | StepFailed
    | RunEnded
)


def to_json(event: Event, *, time: str, run: str, rehearsal: bool) -> dict[str, Any]:
    """Return one JSON object of the event stream (contract version 1).

    ``time`` is RFC 3339 in UTC.
    """
    body: dict[str, Any] = {"v": 1, "event": event.name, "time": time, "run": run, "rehearsal": rehearsal}
    match event:
        case RunStarted():
            body |= {"project": event.project, "command": event.command}
        case PlanReady():
            body |= {
                "changes": event.changes,
                "digest": event.digest,
                "steps": [
                    {"id": s.id, "title": s.title, "needs": list(s.needs), "verb": s.verb}
                    for s in event.steps
                ],
            }
        case StepStarted():
            body |= {"step": event.step, "title": event.title, "commands": list(event.commands)}
        case StepOutput():
            body |= {"step": event.step, "stream": event.stream, "text": event.text}
            if event.service:
                body["service"] = event.service
        case StepProgress():
            body |= {"step": event.step, "done": event.done, "total": event.total, "text": event.text}
        case StepWaiting():
            body |= {"step": event.step, "text": event.text}
        case StepSkipped():
            body |= {"step": event.step, "reason": event.reason}
        case StepDone():
            body |= {"step": event.step, "text": event.text, "seconds": round(event.seconds, 3)}
        case StepFailed():
            body |= {"step": event.step, "problem": event.problem.to_json()}
        case RunEnded():
            body |= {"outcome": event.outcome, "urls": dict(event.urls), "text": event.text}
    return body
