"""Owns running a plan: order, bounded concurrency, intent before action, settling doubt, stopping.

A step is probed, its intent is written to the journal, then it acts. What an earlier run left in doubt is
settled by following its child to the end and probing. No step is repeated on a guess.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from flywizard.events import (
    Event,
    Outcome,
    Problem,
    Remedy,
    StepDone,
    StepFailed,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from flywizard.plan import Plan, Probe, Step, StepError
from flywizard.ports import Context, Ports, child_name
from flywizard.vault import Secret

CONCURRENCY = 3
"""Steps that act at the same time; Fly's limits are per app and action, three leave room."""

GRACE = 8.0
"""Seconds that a stopped step may take to end: flyctl notices a signal during `mpg create` within 5."""

StopMode = Literal["after-step", "now", "leave"]


class JournalPort(Protocol):
    """The journal as the engine needs it. ``append`` has fsynced when it returns; raises OSError."""

    def append(self, kind: str, **fields: Any) -> None:
        """Write one record."""
        ...


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the journal says of one step."""

    status: Literal["in-doubt", "done", "failed", "skipped"]
    attempt: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Control:
    """The handle by which a front stops a run."""

    def __init__(self) -> None:
        self.mode: StopMode | None = None
        self._wake = asyncio.Event()

    def stop(self, mode: StopMode) -> None:
        """Stop after the running steps, now (interrupting children), or leave the children running."""
        self.mode = mode
        self._wake.set()

    async def asked(self) -> None:
        """Wait until somebody asks to stop, or changes how."""
        await self._wake.wait()
        self._wake.clear()


@dataclass(slots=True)
class Result:
    """How a run ended."""

    outcome: Outcome
    applied: int = 0
    """Steps that acted and count as changes."""
    facts: dict[str, str] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Duration of each step that ran."""


class _Report:
    """A step's own voice: every text goes through ``scrub`` before it is an event."""

    def __init__(self, step: str, sink: Callable[[Event], None], scrub: Callable[[str], str]) -> None:
        self._step, self._sink, self._scrub = step, sink, scrub

    def output(self, stream: Literal["stdout", "stderr", "log"], text: str, service: str = "") -> None:
        self._sink(StepOutput(self._step, stream, self._scrub(text), service))

    def progress(self, text: str, done: int | None = None, total: int | None = None) -> None:
        self._sink(StepProgress(self._step, self._scrub(text), done, total))

    def waiting(self, text: str) -> None:
        self._sink(StepWaiting(self._step, self._scrub(text)))


def attempt_name(step_id: str, run: str, number: int = 1) -> str:
    """Return a file-name-safe, unique name for one try of a step."""
    safe = re.sub(r"[^A-Za-z0-9.-]", "_", step_id)
    return f"{run}-{safe}-{number}"


def journal_problem(error: OSError) -> Problem:
    """Explain a journal that cannot be written: nothing was begun that it does not hold."""
    return Problem(
        "JOURNAL-1",
        "The run's journal cannot be written, so nothing more is started",
        f"{error.strerror or error}: without the journal an interrupted run could not be resumed safely.",
        (
            Remedy("retry", "Free some space, or make the state directory writable, then retry"),
            Remedy("quit", "Stop here and resume later"),
        ),
        raw=str(error.strerror or error),
    )


def crash_problem(step: Step, error: BaseException) -> Problem:
    """Explain an error of our own inside a step, without its text: it could hold a secret."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = ""
    if frame is not None:
        where = f" at {frame.tb_frame.f_code.co_name}:{frame.tb_lineno}"
    return Problem(
        "CRASH",
        f"`{step.title}` ended with an error of flywizard's own",
        f"{type(error).__name__}{where}. What it had begun is in the journal; a retry looks before it acts.",
        (
            Remedy("retry", "Try again"),
            Remedy("copy", "Copy a report"),
            Remedy("quit", "Stop here and resume later"),
        ),
    )


class Engine:
    """Runs one plan once."""

    def __init__(
        self,
        plan: Plan,
        ports: Ports,
        journal: JournalPort,
        sink: Callable[[Event], None],
        *,
        run: str,
        earlier: Mapping[str, Earlier] | None = None,
        scrub: Callable[[str], str] = lambda text: text,
        concurrency: int = CONCURRENCY,
        secrets: dict[str, Secret] | None = None,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        self._plan, self._ports, self._journal, self._sink = plan, ports, journal, sink
        self._run, self._earlier, self._scrub = run, dict(earlier or {}), scrub
        self._slots = asyncio.Semaphore(concurrency)
        self._exclusive: dict[str, asyncio.Lock] = {}
        self._facts: dict[str, str] = {}
        self._secrets: dict[str, Secret] = {} if secrets is None else secrets
        self._skip = skip
        self._result = Result("done")
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._fatal: Problem | None = None
        self._interrupted = False
        self._reaper: asyncio.Task[None] | None = None
        for step_id, record in self._earlier.items():
            if record.status == "done":
                self._remember(step_id, record.facts)

    def _remember(self, step_id: str, facts: Mapping[str, str]) -> None:
        for key, value in facts.items():
            self._facts[f"{step_id}/{key}"] = value

    async def run(self, control: Control) -> Result:
        """Run to the end, to the first wall, or until ``control`` says stop."""
        pending = {step.id: step for step in self._plan.steps}
        running: dict[asyncio.Task[None], str] = {}
        asked = asyncio.ensure_future(control.asked())
        try:
            while pending or running:
                if control.mode is None and self._fatal is None:
                    for step in [s for s in pending.values() if set(s.needs) <= self._done]:
                        del pending[step.id]
                        running[asyncio.create_task(self._one(step, control), name=step.id)] = step.id
                if not running:
                    break
                finished, _ = await asyncio.wait([*running, asked], return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    if task is asked:
                        await self._stopping(control, list(running))
                        asked = asyncio.ensure_future(control.asked())
                        continue
                    running.pop(task)
                    if not task.cancelled() and (error := task.exception()) is not None:
                        raise error
        finally:
            asked.cancel()
            if self._reaper is not None:
                self._reaper.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._result.facts = self._facts
        self._result.outcome = self._outcome(control, bool(pending))
        return self._result

    def _outcome(self, control: Control, left: bool) -> Outcome:
        if control.mode is not None and (left or self._failed or self._interrupted):
            return "interrupted"
        if self._failed or self._fatal is not None:
            return "failed"
        return "done" if self._result.applied else "nothing-to-do"

    async def _stopping(self, control: Control, running: list[asyncio.Task[None]]) -> None:
        self._interrupted = True
        if control.mode == "now" and self._reaper is not None:
            await self._ports.fly.kill()
            for task in running:
                task.cancel()
        elif control.mode == "now":
            await self._ports.fly.interrupt()
            self._reaper = asyncio.create_task(self._reap(running))
        elif control.mode == "leave":
            for task in running:
                task.cancel()

    async def _reap(self, running: list[asyncio.Task[None]]) -> None:
        await self._ports.clock.sleep(GRACE)
        for task in running:
            task.cancel()

    async def _one(self, step: Step, control: Control) -> None:
        # the lock first: a step that waits for its turn must not hold a slot
        alone: AbstractAsyncContextManager[object] = nullcontext()
        if step.exclusive:
            alone = self._exclusive.setdefault(step.exclusive, asyncio.Lock())
        async with alone, self._slots:
            if control.mode is None and self._fatal is None:
                await self._guarded(step, control)

    async def _guarded(self, step: Step, control: Control) -> None:
        started = self._ports.clock.monotonic()
        try:
            await self._settle_probe_apply(step, started)
        except StepError as error:
            if error.problem.id == "STOPPED" and control.mode is not None:
                return
            self._fail(step, error.problem)
        except OSError as error:
            self._fail(step, journal_problem(error) if _is_journal(error) else crash_problem(step, error))
            if _is_journal(error):
                self._fatal = journal_problem(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a crash inside a step is a failed step
            self._fail(step, crash_problem(step, error))

    def _context(self, step: Step, attempt: str = "") -> Context:
        def on_started(facts: Mapping[str, Any]) -> None:
            self._write("started", step=step.id, attempt=attempt, **dict(facts))

        return Context(
            ports=self._ports,
            facts=self._facts,
            secrets=self._secrets,
            report=_Report(step.id, self._sink, self._scrub),
            earlier={k: r.facts for k, r in self._earlier.items() if r.facts},
            in_doubt=step.id in self._earlier and self._earlier[step.id].status == "in-doubt",
            attempt=attempt,
            on_started=on_started,
        )

    def _write(self, kind: str, **fields: Any) -> None:
        try:
            self._journal.append(kind, **fields)
        except OSError as error:
            raise JournalWriteError(error) from error

    async def _settle_probe_apply(self, step: Step, started: float) -> None:
        earlier = self._earlier.get(step.id)
        ctx = self._context(step)
        if step.id in self._skip:
            self._write("skipped", step=step.id)
            self._done.add(step.id)
            self._sink(StepSkipped(step.id, "skipped on request"))
            return
        if earlier is not None and earlier.status == "in-doubt" and earlier.attempt:
            ctx.report.waiting("an earlier run stopped here: following what it left")
            await self._settle(earlier.attempt, ctx)
        probe = await step.probe(ctx)
        if probe.state == "present":
            self._finish(step, probe, started, acted=False)
            return
        if probe.state == "unknown":
            raise StepError(doubt_problem(step, probe.text))
        attempt = attempt_name(step.id, self._run)
        self._write("intent", step=step.id, name=step.name, attempt=attempt)
        self._sink(StepStarted(step.id, step.title, tuple(self._scrub(c.shown()) for c in step.commands)))
        ctx = self._context(step, attempt)
        try:
            found = await step.apply(ctx)
        except StepError as error:
            found = await self._look_again(step, error)
        if not step.reads:
            self._result.applied += 1
        self._finish(step, found, started, acted=True)

    async def _settle(self, attempt: str, ctx: Context) -> None:
        """Follow every child that an earlier try left behind: it may have run several commands."""
        number = 1
        while await self._ports.fly.settle(child_name(attempt, number), on_output=ctx.report.output):
            number += 1

    async def _look_again(self, step: Step, error: StepError) -> Probe:
        """After a failure the thing may stand all the same (a lost answer, a late health check)."""
        if error.problem.id == "STOPPED" or error.sure or step.reads:
            raise error
        try:
            probe = await step.probe(self._context(step))
        except StepError:
            raise error from None
        if probe.state != "present":
            raise error
        return Probe("present", probe.text + " (settled by a look)", probe.facts)

    def _finish(self, step: Step, probe: Probe, started: float, *, acted: bool) -> None:
        seconds = max(0.0, self._ports.clock.monotonic() - started)
        self._remember(step.id, probe.facts)
        self._write("done", step=step.id, facts=dict(probe.facts), acted=acted)
        self._done.add(step.id)
        text = self._scrub(probe.text)
        if acted:
            self._result.seconds[step.id] = seconds
            self._sink(StepDone(step.id, text, seconds))
        else:
            self._sink(StepSkipped(step.id, text or "nothing to do"))

    def _fail(self, step: Step, problem: Problem) -> None:
        clean = Problem(
            problem.id,
            self._scrub(problem.what),
            self._scrub(problem.why),
            problem.remedies,
            problem.docs,
            self._scrub(problem.raw),
            tuple(self._scrub(line) for line in problem.log),
            problem.also,
        )
        self._failed.add(step.id)
        self._result.problems[step.id] = clean
        try:
            self._journal.append("failed", step=step.id, problem=clean.id, what=clean.what)
        except OSError as error:
            self._fatal = journal_problem(error)
        self._sink(StepFailed(step.id, clean))


class JournalWriteError(OSError):
    """The journal could not be written; carries the cause."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror or str(cause))


def _is_journal(error: OSError) -> bool:
    return isinstance(error, JournalWriteError)


def doubt_problem(step: Step, text: str) -> Problem:
    """Explain a step whose state no look could tell."""
    return Problem(
        "DOUBT",
        f"It is not known whether `{step.name}` stands",
        text or "Neither the answer nor a look afterwards could tell.",
        (
            Remedy("retry", "Look again"),
            Remedy("quit", "Stop here and resume later; resuming looks before it acts"),
        ),
    )
