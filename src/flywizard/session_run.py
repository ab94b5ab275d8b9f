"""Owns the second half of a session: planning, the Review, applying, and what is said at the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flywizard import cost
from flywizard.engine import Control, Earlier, Engine, Result
from flywizard.events import Event, PlanReady, RunEnded, RunStarted, StepInfo, StepOutput
from flywizard.fronts import Note, ReviewFile, ReviewRow, ReviewView, Sink, Summary
from flywizard.journal import Journal, JournalState
from flywizard.plan import CHANGING, Cost, Plan, Probe, Step, StepError
from flywizard.ports import Context, Ports
from flywizard.session_state import State
from flywizard.state_folder import write_private
from flywizard.text import clean, duration, rfc3339
from flywizard.vault import Secret

PROBES = 4
"""Looks at the same time while the Review is made."""


class WatchedSecrets(dict[str, Secret]):
    """Secrets found during a run; each is made known to the redactor as it comes in."""

    def __init__(self, learn: Callable[[str], None]) -> None:
        super().__init__()
        self._learn = learn

    def __setitem__(self, name: str, value: Secret) -> None:
        self._learn(value.reveal())
        super().__setitem__(name, value)


class _Silent:
    """The Review's looks report nothing."""

    def output(self, stream: str, text: str, service: str = "") -> None:
        return

    def progress(self, text: str, done: int | None = None, total: int | None = None) -> None:
        return

    def waiting(self, text: str) -> None:
        return


@dataclass(slots=True)
class Looked:
    """What the probes of the Review found."""

    probes: dict[str, Probe] = field(default_factory=dict)
    problems: dict[str, StepError] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


async def look_around(plan: Plan, ports: Ports, journal: JournalState, secrets: dict[str, Secret]) -> Looked:
    """Probe every step, in the order of their needs; what rests on something absent is absent."""
    looked = Looked()
    earlier = earlier_of(journal)
    for step_id, record in earlier.items():
        if record.status == "done":
            looked.facts |= {f"{step_id}/{k}": v for k, v in record.facts.items()}
    slots = asyncio.Semaphore(PROBES)
    tasks: dict[str, asyncio.Task[None]] = {}

    async def one(step: Step) -> None:
        for need in step.needs:
            await tasks[need]
        absent = any(
            looked.probes[n].state == "absent" and not n.startswith(("file.", "secrets.", "build.", "schema"))
            for n in step.needs
            if n in looked.probes
        )
        if absent:
            looked.probes[step.id] = Probe("absent")
            return
        ctx = Context(
            ports, looked.facts, secrets, _Silent(),
            earlier={k: r.facts for k, r in earlier.items() if r.facts},
            in_doubt=step.id in earlier and earlier[step.id].status == "in-doubt",
        )  # fmt: skip
        async with slots:
            try:
                probe = await step.probe(ctx)
            except StepError as error:
                looked.problems[step.id] = error
                probe = Probe("unknown", error.problem.what)
        looked.probes[step.id] = probe
        looked.facts |= {f"{step.id}/{k}": v for k, v in probe.facts.items()}

    async with asyncio.TaskGroup() as group:
        for step in ordered(plan):
            tasks[step.id] = group.create_task(one(step))
    return looked


def ordered(plan: Plan) -> list[Step]:
    """Return the steps so that each comes after its needs."""
    from graphlib import TopologicalSorter

    return [plan[i] for i in TopologicalSorter({s.id: s.needs for s in plan.steps}).static_order()]


def earlier_of(journal: JournalState) -> dict[str, Earlier]:
    """Return the journal's word on each step, for the engine."""
    return {k: Earlier(r.status, r.attempt, r.facts) for k, r in journal.steps.items()}


def verb_of(step: Step, probe: Probe) -> str:
    """Return what would be done to a step's thing."""
    match probe.state:
        case "present":
            return "reuse" if step.verb in ("create", "change") else "skip"
        case "different":
            return "change" if step.verb == "create" else step.verb
        case _:
            return step.verb


def changes_of(plan: Plan, probes: Mapping[str, Probe]) -> int:
    """Return how many steps would change something."""
    return sum(verb_of(s, probes.get(s.id, Probe("absent"))) in CHANGING and not s.reads for s in plan.steps)


def review_of(plan: Plan, looked: Looked, state: State) -> ReviewView:
    """Return the Review."""
    rows, seconds = [], [0.0, 0.0]
    for step in plan.steps:
        probe = looked.probes[step.id]
        verb = verb_of(step, probe)
        if step.reads and verb == "skip":
            continue
        price = ", ".join(
            dict.fromkeys(
                cost.money(sum(c.usd for c in step.costs), about=any(c.about for c in step.costs))
                for _ in step.costs
            )
        )
        rows.append(
            ReviewRow(
                step.id, verb, step.resource, step.name, state.redactor.mask(probe.text) if verb in ("reuse", "skip") and probe.text else step.why,
                price, tuple(c.shown() for c in step.commands), step.irreversible and verb in CHANGING,
            )
        )  # fmt: skip
        if verb in CHANGING and step.expected is not None:
            seconds = [seconds[0] + step.expected[0], seconds[1] + step.expected[1]]
    costs = [c for s in plan.steps for c in s.costs]
    total, idle = cost.total(costs), cost.idle_total(costs)
    about = any(c.about for c in costs)
    counts = {
        v: sum(r.verb == v for r in rows)
        for v in ("create", "change", "set", "run", "reuse", "skip", "write")
    }
    words = [
        f"{counts['create']} to create", f"{counts['change']} to change", f"{counts['reuse'] + counts['skip']} to reuse",
        f"{counts['write']} files to write",
    ]  # fmt: skip
    shown = [w for w in words if not w.startswith("0 ")]
    longest = critical_path(plan, looked.probes)
    if longest:
        shown.append(f"about {duration(longest)}")
    notes = price_notes(costs)
    if state.dirty:
        notes.append(
            Note("warn", f"{len(state.dirty)} files are not committed; they are deployed as they are")
        )
    blocked = ""
    if looked.problems:
        first = next(iter(looked.problems.values())).problem
        blocked = f"{first.what}. {first.why}"
        state.problem = first
    return ReviewView(
        " · ".join(shown) or "nothing to do",
        tuple(rows),
        tuple(
            ReviewFile(f.path, f.verb, state.redactor.mask(f.diff())) for f in plan.files if f.verb != "same"
        ),
        f"{cost.money(total, about=about)} a month at most",
        f"{cost.money(idle)} when nothing is asked of it" if idle != total else "",
        tuple(notes),
        (),
        blocked,
        changes_of(plan, looked.probes),
        plan.digest,
    )


def price_notes(costs: Sequence[Cost]) -> list[Note]:
    """Return one note for each source and date of prices, with the prices taken from there."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in costs:
        words = f"{item.what} {cost.money(item.usd, about=item.about)}"
        found.setdefault((item.source, item.date), []).append(words)
    return [Note("info", f"{', '.join(words)} ({source}, {date})") for (source, date), words in found.items()]


def critical_path(plan: Plan, probes: Mapping[str, Probe]) -> float:
    """Return the expected seconds of the longest chain of steps that act (middle of each step's range)."""
    finish: dict[str, float] = {}
    for step in ordered(plan):
        probe = probes.get(step.id, Probe("absent"))
        own = sum(step.expected) / 2 if step.expected and probe.state != "present" else 0.0
        finish[step.id] = own + max((finish[n] for n in step.needs), default=0.0)
    return max(finish.values(), default=0.0)


def plan_json(plan: Plan, looked: Looked) -> dict[str, Any]:
    """Return the object of ``plan --json``."""
    costs = [c for s in plan.steps for c in s.costs]
    return {
        "version": 1,
        "digest": plan.digest,
        "changes": changes_of(plan, looked.probes),
        "monthly_usd": {
            "total": cost.total(costs),
            "items": [
                {"what": c.what, "usd": round(c.usd, 2), "source": c.source, "date": c.date} for c in costs
            ],
        },
        "steps": [
            {
                "id": s.id,
                "title": s.title,
                "needs": list(s.needs),
                "verb": verb_of(s, looked.probes[s.id]),
                "resource": s.resource,
                "name": s.name,
                "why": s.why,
                "commands": [list(c.argv) for c in s.commands],
                "irreversible": s.irreversible,
                "usd": round(sum(c.usd for c in s.costs), 2),
            }
            for s in plan.steps
        ],
        "files": [{"path": f.path, "verb": f.verb, "diff": f.diff()} for f in plan.files if f.verb != "same"],
    }


class RunLog:
    """The masked run log: one line an event, appended as it comes."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.path, self._now = path, now
        write_private(path, "")
        self._file = path.open("a", encoding="utf-8")

    def take(self, event: Event) -> None:
        """Write one event; a log that cannot be written does not stop a run."""
        body = {k: v for k, v in _fields(event).items() if v}
        try:
            self._file.write(f"{rfc3339(self._now())} {event.name} {json.dumps(body, ensure_ascii=False)}\n")
            self._file.flush()
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError:
            return


def _fields(event: Event) -> dict[str, Any]:
    from flywizard.events import to_json

    body = to_json(event, time="", run="", rehearsal=False)
    for name in ("v", "event", "time", "run", "rehearsal"):
        body.pop(name)
    return body


@dataclass(slots=True)
class Running:
    """One run of a plan."""

    plan: Plan
    ports: Ports
    journal: Journal
    state: State
    run: str
    log: RunLog
    command: str
    urls: Mapping[str, str] = field(default_factory=dict)
    """App to the address at which it answers from here."""
    control: Control = field(default_factory=Control)
    result: Result | None = None

    async def go(self, sink: Sink, looked: Looked | None) -> Result:
        """Run; events go to the sink and the run log, already clean."""
        probes = looked.probes if looked is not None else {}
        changes = changes_of(self.plan, probes)

        def emit(event: Event) -> None:
            if isinstance(event, StepOutput) and not event.text.strip():
                return
            self.log.take(event)
            sink(event)

        def scrub(text: str) -> str:
            return self.state.redactor.mask(clean(text))

        emit(RunStarted(self.plan.project, self.command))
        infos = tuple(info_of(s, probes.get(s.id)) for s in self.plan.steps)
        emit(PlanReady(infos, changes, self.plan.digest))
        engine = Engine(
            self.plan, self.ports, self.journal, emit,
            run=self.run,
            earlier=earlier_of(self.journal.state()),
            scrub=scrub,
            secrets=WatchedSecrets(self.state.redactor.add),
            skip=frozenset(self.state.skip),
        )  # fmt: skip
        self.result = await engine.run(self.control)
        urls = dict(self.urls) if self.result.outcome in ("done", "nothing-to-do") else {}
        words = {
            "done": "done",
            "nothing-to-do": "nothing to do: everything stands as wished",
            "failed": "stopped at a problem",
            "interrupted": "interrupted",
        }
        emit(RunEnded(self.result.outcome, urls, words[self.result.outcome]))
        return self.result


def info_of(step: Step, probe: Probe | None) -> StepInfo:
    """Return a step with the verb that its probe gives."""
    return step.info(verb_of(step, probe) if probe is not None else None)


def summary_of(
    running: Running, looked: Looked | None, state: State, equivalent: str, hints: tuple[tuple[str, str], ...]
) -> Summary:
    """Return Done."""
    result = running.result
    assert result is not None  # noqa: S101 - only asked after a run
    nothing = result.outcome == "nothing-to-do"
    created = created_of(running.plan, running.journal.state(), result.facts) if not nothing else []
    times = [(running.plan[s].title, duration(t)) for s, t in result.seconds.items()]
    place = state.vault.place if state.vault is not None else "nowhere"
    title = (
        f"{running.plan.project}: nothing to do, everything stands as wished"
        if nothing
        else f"{running.plan.project} is deployed"
    )
    if state.rehearsal:
        title += " (rehearsal: on the simulated Fly.io)"
    return Summary(
        title,
        tuple(running.urls.items()),
        tuple(created),
        tuple(times),
        f"secrets are kept in: {place}; Fly has them as secrets of each app",
        hints,
        equivalent,
    )


MADE = ("app", "Managed Postgres", "extension", "schema", "machines")


def created_of(plan: Plan, journal: JournalState, facts: Mapping[str, str]) -> list[str]:
    """Return what runs of ours made, also those that were cut off; what was adopted is left out."""
    out = []
    for step in plan.steps:
        record = journal.steps.get(step.id)
        if record is None or not record.created or step.resource not in MADE:
            continue
        words = f"{step.resource} {step.name}"
        if step.resource == "machines":
            words = f"machines of {step.id.partition('.')[2]}: {step.name}"
        found = facts.get(f"{step.id}/id")
        out.append(words + (f", id {found}" if found else ""))
    return out


def digest_of(text: str) -> str:
    """Return 16 hex digits over a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_total(summary: Summary, seconds: float) -> Summary:
    """Return the summary with the total time."""
    return replace(summary, times=(*summary.times, ("total", duration(seconds))))
