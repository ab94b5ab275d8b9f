"""Owns the second half of a session: from answers to a plan, its Review, and the run. Loaded when it is needed."""

from __future__ import annotations

import asyncio
import os
import secrets as randomness
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flywizard import session_fields
from flywizard.backstage import Backstage
from flywizard.events import Outcome, Problem, Remedy
from flywizard.fronts import Refused, ReviewView, Sink, StopKind, Summary
from flywizard.journal import FILE as JOURNAL_FILE
from flywizard.journal import Journal
from flywizard.lock import LockHeld, RunLock
from flywizard.plan import StepError
from flywizard.resolve import Resolved, equivalent, make_spec, resolved
from flywizard.session_run import (
    Looked,
    RunLog,
    Running,
    WatchedSecrets,
    look_around,
    plan_json,
    review_of,
    summary_of,
    with_total,
)
from flywizard.session_state import SECRET_FIELDS
from flywizard.state_folder import StateError, write_private
from flywizard.steps.catalogue import build_plan

if TYPE_CHECKING:
    from flywizard.session import Session

EXIT_FAILED, EXIT_LOCKED = 1, 4


class Applying:
    """Plans, reviews and runs for one session."""

    def __init__(self, session: Session, back: Backstage) -> None:
        self.session = session
        self._back = back
        self.running: Running | None = None
        self.summary: Summary | None = None
        self._looked: Looked | None = None
        self._resolved: Resolved | None = None

    async def make_plan(self) -> Resolved:
        """Resolve the answers and make the plan; kept for the run."""
        state = self.session.state
        if state.findings is None or state.tree is None:
            await self.session.read_project()
        await self.session.ask_git()
        assert state.findings is not None  # noqa: S101 - read just before
        assert state.tree is not None  # noqa: S101
        items = state.items()
        spec = make_spec(state.findings, state.values(), items, state.spec)
        commit = state.commit or "none"
        if state.dirty:
            commit += "-dirty"
        fresh = frozenset(state.typed) & {i.name for i in items}
        self._resolved = await asyncio.to_thread(
            resolved, spec, state.tree, self.session.root, state.findings, items,
            fixes=tuple(state.fixes.values()), fresh=frozenset() if self._back.rehearsal else fresh, commit=commit,
        )  # fmt: skip
        state.plan = build_plan(self._resolved.target, self._resolved.changes, self._inputs())
        return self._resolved

    def _inputs(self) -> dict[str, str]:
        assert self._resolved is not None  # noqa: S101 - made just before
        return {a.name: a.image or a.label for a in self._resolved.target.apps}

    def blocking(self) -> Problem | None:
        """Return what preflight objects to and the plan does not handle, or None."""
        findings = self.session.state.findings
        if findings is None:
            return None
        for objection in findings.problems:
            if (
                objection.blocking
                and not objection.handled
                and session_fields.applies(self.session.state, objection.when)
            ):
                place = f"{objection.file}:{objection.line}: " if objection.file and objection.line else ""
                return Problem(objection.id, f"{place}{objection.message}", objection.remedy)
        return None

    async def review(self) -> ReviewView:
        """Probe, plan and price; what stands in the way is in ``blocked``."""
        try:
            return await self._review()
        except StepError as error:
            problem = error.problem
        except OSError as error:
            problem = _unwritable(error)
        self.session.state.problem = problem
        return ReviewView("the plan could not be made", (), (), "", blocked=f"{problem.what}. {problem.why}")

    async def _review(self) -> ReviewView:
        await self.make_plan()
        assert self.session.state.plan is not None  # noqa: S101 - made just before
        ports = await self.session.doors()
        await self.session.keeping.prepare_fingerprints()
        secrets = WatchedSecrets(self.session.state.redactor.add)
        self._looked = await look_around(
            self.session.state.plan, ports, self.session.journal_state(), secrets
        )
        view = review_of(self.session.state.plan, self._looked, self.session.state)
        blocking = self.blocking()
        if blocking is not None:
            self.session.state.problem = blocking
            view = replace(view, blocked=f"{blocking.what} {blocking.why}")
        self.session.last_review = view
        return view

    def plan_json(self) -> dict[str, object]:
        """Return the object of ``plan --json``; call after :meth:`review`."""
        assert self.session.state.plan is not None  # noqa: S101 - documented
        assert self._looked is not None  # noqa: S101
        return plan_json(self.session.state.plan, self._looked)

    async def save_plan(self, path: str) -> str:
        """Write the plan file; return its path. Raises OSError."""
        from flywizard.plan_file import encode

        target = Path(path)
        if not target.is_absolute():
            target = self._back.project_root / target
        text = encode(
            self.plan_json(), self.session.state.draft.all(), self.session.state.value("project.name")
        )
        write_private(target, text)
        return os.fspath(target)

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        """Apply the plan. Raises Refused when it cannot begin."""
        state = self.session.state
        try:
            if state.plan is None or resume:
                await self.make_plan()
            await self.session.keeping.prepare_fingerprints()
            folder = self.session.folder()
            lock = RunLock(folder / "lock")
            lock.acquire(self.session.command)
        except LockHeld as error:
            raise Refused(_locked(error), EXIT_LOCKED) from None
        except StepError as error:
            raise Refused(error.problem, EXIT_FAILED) from None
        except OSError as error:
            raise Refused(_unwritable(error), EXIT_FAILED) from None
        state.problem = None
        began = self._back.now()
        try:
            outcome = await self._locked(folder, sink)
        except StateError as error:
            raise Refused(_unwritable(error), EXIT_FAILED) from None
        finally:
            lock.release()
        if outcome in ("done", "nothing-to-do") and self.running is not None:
            self.session.spec_file.load()
            made = summary_of(self.running, self._looked, state, self._equivalent(), self._hints())
            self.summary = with_total(made, self._back.now() - began)
        self.session.run_id = f"{int(self._back.now()):x}{randomness.token_hex(2)}"
        return outcome

    async def _locked(self, folder: Path, sink: Sink) -> Outcome:
        state = self.session.state
        assert state.plan is not None  # noqa: S101 - made just before
        ports = await self.session.doors()
        with Journal.open(folder / JOURNAL_FILE, now=self._back.now) as journal:
            run = self.session.run_id
            journal.append("run", run=run, command=self.session.command, plan=state.plan.digest)
            log = RunLog(folder / "run.log", self._back.now)
            try:
                self.running = Running(
                    state.plan, ports, journal, state, run, log, self.session.command, self._urls()
                )
                result = await self.running.go(sink, self._looked)
                journal.append("end", run=run, outcome=result.outcome)
            finally:
                log.close()
        if result.problems:
            state.problem_step, state.problem = next(iter(result.problems.items()))
        return result.outcome

    def _urls(self) -> dict[str, str]:
        apps = self._resolved.target.apps if self._resolved is not None else ()
        return {a.name: self._back.public(a.url, a.health or "/") for a in apps if a.public}

    def _equivalent(self) -> str:
        answers = {k: (a.value, a.source) for k, a in self.session.state.draft.chosen().items()}
        state = self.session.state
        names = [i.name for i in state.items() if i.origin == "you" and i.secret]
        for field_id in SECRET_FIELDS:
            shown = any(q.id == field_id for page in ("broker", "database") for q in state.questions(page))
            if shown and state.secret_source(field_id) in {"you", "flag"}:
                names.append(state.vault_name(field_id))
        return equivalent(answers, names, "rehearse" if self._back.rehearsal else "apply")

    def _hints(self) -> tuple[tuple[str, str], ...]:
        if self._back.rehearsal:
            again = self.session.state.resume_command
            return (
                ("once more", again),
                ("begin anew", f"{again} --reset"),
                ("on Fly.io itself", "flywizard"),
            )
        apps = [a.name for a in self._resolved.target.apps] if self._resolved else []
        out = [("logs", f"fly logs -a {app}") for app in apps]
        out.append(("deploy again", "flywizard apply"))
        if apps:
            out.append(("releases", f"fly releases --image -a {apps[0]}"))
        return tuple(out)

    def stop(self, kind: StopKind) -> None:
        """Pass the answer of the Ctrl+C conversation on to the engine."""
        if self.running is not None and kind != "keep":
            self.running.control.stop(kind)


def _locked(error: LockHeld) -> Problem:
    return Problem(
        "LOCKED",
        f"another run holds the lock: {error.holder.words()}",
        "Two runs of one project would get in each other's way. Nothing was begun here.",
        (Remedy("retry", "Try again when it is done"), Remedy("quit", "Leave it to the other one")),
    )


def _unwritable(error: OSError) -> Problem:
    name = f" (`{error.filename}`)" if error.filename else ""
    return Problem(
        "JOURNAL-1",
        f"flywizard's state cannot be kept{name}",
        f"{error.strerror or error}. Without its journal a run could not be resumed, so nothing was begun.",
        (
            Remedy("retry", "Free some space, or make the folder writable, then try again"),
            Remedy("quit", "Stop here"),
        ),
    )
