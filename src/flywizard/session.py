"""Owns the headless wizard: answers, live checks, Review, run. Every front talks to this and to nothing behind it."""

from __future__ import annotations

import asyncio
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flywizard import session_home, session_pages
from flywizard.backstage import Backstage
from flywizard.draft import Answer, from_environment
from flywizard.events import Outcome, Problem, StepError
from flywizard.fronts import (
    PAGES,
    ActionResult,
    Check,
    Field,
    Header,
    HomeView,
    Note,
    OnCheck,
    Page,
    PageView,
    RailItem,
    ReviewView,
    Sink,
    StopKind,
    Summary,
)
from flywizard.journal import FILE as JOURNAL_FILE
from flywizard.journal import JournalState, read_state
from flywizard.session_place import DRAFT, Place, foreign_hint, foreign_words
from flywizard.session_secrets import Keeping
from flywizard.session_spec import SpecFile
from flywizard.session_state import State
from flywizard.state_folder import write_private
from flywizard.text import clean, shorten_home
from flywizard.vault import LayeredVault, Secret, VaultError

if TYPE_CHECKING:
    from flywizard.ports import Ports
    from flywizard.project.model import Findings
    from flywizard.resolve import Resolved
    from flywizard.session_apply import Applying


def _in_the_way(error: OSError) -> Problem:
    name = f" (`{error.filename}`)" if error.filename else ""
    return Problem("FILES", f"{error.strerror or error}{name}", "Mend this, then look again.")


class Session:
    """The headless wizard of one project."""

    def __init__(
        self,
        back: Backstage,
        *,
        flags: Mapping[str, str] | None = None,
        secrets: Mapping[str, Secret] | None = None,
        command: str = "flywizard",
        decided: Mapping[str, str] | None = None,
        hurried: bool = False,
    ) -> None:
        """Take the world behind, the answers of the command line, and the secrets it names.

        ``decided`` answers what the repository leaves open: question id to choice.

        ``hurried``: flywizard.toml is only peeked at, so that a screen comes up at once; it is read in
        full, and its faults are named, with Home's live lines.

        Raises:
            SpecError: flywizard.toml can't be used (unless hurried).
        """
        self.root: Path = back.root
        self._back = back
        self.command = command
        self.state = State(back.project_root.name, rehearsal=back.rehearsal)
        self.state.resume_command = back.resume_command
        self.state.detection_answers |= decided or {}
        state = self.state
        state.draft.put("flag", {k: Answer(v, "flag") for k, v in (flags or {}).items()})
        state.draft.put("environment", from_environment(back.environ))
        if back.stand_ins is not None:
            state.draft.put(
                "rehearsal", {k: Answer(v, "rehearsal") for k, v in back.stand_ins.answers.items()}
            )
        self.place = Place(back, state)
        self.keeping = Keeping(back, state, self.place)
        for name, value in (secrets or {}).items():
            self.keeping.take(name, value)
        state.given = frozenset(secrets or {})
        self._ports: Ports | None = None
        self._ports_of: Path | None = None
        self._applying: Applying | None = None
        self._known_git = False
        self.run_id = f"{int(back.now()):x}{randomness.token_hex(2)}"
        self.spec_file = SpecFile(back.root, state)
        if hurried:
            self.spec_file.peek()
        else:
            self.spec_file.load()
        state.refresh()

    # what is on disk

    def folder(self) -> Path:
        """Return the project's state folder, made when it is first asked for. Raises StateError."""
        return self.place.folder()

    def foreign(self) -> tuple[str, str] | None:
        """Return (what, hint) when the state folder of this name was made for somebody else."""
        pair = self.state.foreign
        return (
            None
            if pair is None
            else (foreign_words(pair, self.state.value("project.name")), foreign_hint(pair))
        )

    def adopt(self) -> None:
        """Take that folder over, after the user agreed. Raises StateError."""
        self.place.adopt()
        self.folder()

    def journal_state(self) -> JournalState:
        """Return what the journal says, without opening it for writing."""
        return read_state(self.folder() / JOURNAL_FILE)

    async def doors(self) -> Ports:
        """Return the doors of a run, made anew when the state folder changes."""
        folder = self.folder()
        if self._ports is None or self._ports_of != folder:
            vault = await self.vault()
            self._ports = self._back.ports(folder, vault, self.keeping.mask)
            self._ports_of = folder
        return self._ports

    async def vault(self) -> LayeredVault:
        """Return the places where values are kept, opened when first asked for."""
        return await self.keeping.vault()

    # what is always on screen

    def header(self) -> Header:
        """Return the line on top and the foot of the rail."""
        return session_home.header(self.state, self._back.speed)

    def rail(self, current: Page | None) -> Sequence[RailItem]:
        """Return the steps with a one-line answer for each that is done."""
        return session_home.rail(
            self.state,
            current,
            self.last_review,
            ran=self._applying is not None and self._applying.running is not None,
        )

    last_review: ReviewView | None = None

    # Home

    def home(self) -> HomeView:
        """Return Home from local state only."""
        try:
            journal = self.journal_state()
        except OSError:
            journal = JournalState()
        return session_home.home(self.state, journal, str(self._back.project_root), self._back.now())

    async def home_live(self) -> HomeView:
        """Return Home with the commit and the keyring."""
        await asyncio.gather(self.ask_git(), self.spec_file.load_late())
        return self.home()

    async def ask_git(self) -> None:
        """Ask for commit, branch and what is not committed; once."""
        if not self._known_git:
            found = await self._back.git()
            self.state.commit, self.state.branch, self.state.dirty = found.commit, found.branch, found.dirty
            self._known_git = True

    async def choose(self, item: str) -> Page:
        """Act on a line of Home; return the page to show."""
        if item in ("resume", "deploy"):
            stop = await self.prepare()
            if stop is not None:
                return stop
            self.resuming = item == "resume"
            return "deploy" if self.resuming else "review"
        return "prerequisites"

    resuming = False

    async def prepare(self) -> Page | None:
        """Go through all form pages without showing them; return the first that stops, or None."""
        stop: Page | None = None
        for page in PAGES[:6]:
            await self.enter(page)
            errors = await self.leave(page)
            view = self.view(page)
            wanting = [f for f in view.fields if f.required and not f.value]
            foreign = page == "project" and self.state.foreign is not None
            if stop is None and page != "prerequisites" and (errors or wanting or foreign):
                stop = page
        return stop

    # the form pages

    async def enter(self, page: Page) -> None:
        """Prepare a page; what stands in the way is shown on it. Idempotent."""
        self.state.page_problems.pop(page, None)
        try:
            await self.spec_file.load_late()
            await session_pages.enter(self, self._back, page)
        except StepError as error:
            self.state.page_problems[page] = error.problem
        except VaultError as error:
            self.state.page_problems[page] = Problem(f"KEYRING-{error.reason}", error.text, error.fix)
        except OSError as error:
            self.state.page_problems[page] = _in_the_way(error)

    async def read_project(self) -> None:
        """Read the repository off the loop."""
        await asyncio.to_thread(self.inspect)
        self.state.refresh()

    def inspect(self) -> None:
        """Read the repository, with the patches that were taken."""
        from flywizard.project.detect import detect
        from flywizard.project.tree import scan

        self.state.tree = scan(self.root)
        if self.state.fixes:
            self.state.tree = self.state.tree.with_changes({p: c.after for p, c in self.state.fixes.items()})
        self.state.findings = detect(self.state.tree, self.state.detection_answers)

    def read_again(self) -> None:
        """Read the repository again, with the patches that were taken."""
        self.inspect()
        self.state.refresh()

    def reopen(self) -> None:
        """Make the doors anew: another token is used."""
        self._ports = None

    @property
    def findings(self) -> Findings | None:
        """Return what was read from the repository."""
        return self.state.findings

    def view(self, page: Page) -> PageView:
        """Return a form page as it stands."""
        from flywizard import session_views

        shown = session_views.view(self.state, page)
        if self.state.spec_faults:
            faults = tuple(Note("bad", fault) for fault in self.state.spec_faults)
            shown = replace(shown, notes=(*faults, *shown.notes), blocked=self.state.spec_faults[0])
        problem = self.state.page_problems.get(page)
        if problem is not None:
            shown = replace(shown, problem=problem, blocked=problem.what)
        return shown

    def set(self, field_id: str, value: str | Secret) -> str:
        """Set one answer; return an error in words, or empty."""
        return session_pages.set_answer(self, field_id, value)

    def missing(self) -> Sequence[Field]:
        """Return every answer that is required and has no value, over all pages."""
        return session_pages.missing(self)

    async def check(self, page: Page, on_check: OnCheck) -> None:
        """Run the page's live checks."""
        if page == "prerequisites":
            self.state.checks[page] = {}

            def tell(check: Check) -> None:
                self.state.remember(page, check)
                on_check(check)

            folder = self.folder()
            await self._back.prerequisites(tell, folder.name, folder)
            return
        from flywizard.session_checks import run_checks

        try:
            await run_checks(self.state, page, self.doors, self.root, on_check)
        except StepError as error:
            self._failed_check(page, error.problem, on_check)
        except OSError as error:
            self._failed_check(page, _in_the_way(error), on_check)

    def _failed_check(self, page: Page, problem: Problem, on_check: OnCheck) -> None:
        check = Check("checks", "checks", "failed", problem.what, fix=problem.why, problem=problem)
        self.state.remember(page, check)
        on_check(check)

    async def act(self, page: Page, action: str, value: str | Secret | None = None) -> ActionResult:
        """Do one of the page's actions."""
        from flywizard.session_actions import act

        try:
            return await act(self, self._back, page, action, value)
        except StepError as error:
            return ActionResult(False, error.problem.what)
        except VaultError as error:
            return ActionResult(False, f"{error.text}. {error.fix}".strip())
        except OSError as error:
            return ActionResult(False, _in_the_way(error).what)

    async def leave(self, page: Page) -> Mapping[str, str]:
        """Next was pressed: validate, keep the draft and the secrets; return errors by field id."""
        state = self.state
        errors = dict(state.draft.errors(state.questions(page)))
        if page in ("secrets", "broker", "database"):
            try:
                await self.keeping.keep(page)
            except VaultError as error:
                errors["vault"] = f"{error.text}. {error.fix}".strip()
        try:
            write_private(self.folder() / DRAFT, state.draft.to_toml())
        except OSError as error:
            errors["draft"] = str(error)
        return errors

    # Review and run

    @property
    def applying(self) -> Applying:
        """Return the second half of the session, loaded when it is first asked for."""
        if self._applying is None:
            from flywizard.session_apply import Applying

            self._applying = Applying(self, self._back)
        return self._applying

    async def make_plan(self) -> Resolved:
        """Resolve the answers and make the plan; kept for the run. Raises StepError, OSError."""
        return await self.applying.make_plan()

    def blocking(self) -> Problem | None:
        """Return what preflight objects to and the plan does not handle, or None."""
        return self.applying.blocking()

    async def review(self) -> ReviewView:
        """Probe, plan and price; what stands in the way is in ``blocked``."""
        return await self.applying.review()

    def plan_json(self) -> dict[str, object]:
        """Return the object of ``plan --json``; call after :meth:`review`."""
        return self.applying.plan_json()

    async def save_plan(self, path: str) -> str:
        """Write the plan file; return its path. Raises OSError."""
        return await self.applying.save_plan(path)

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        """Apply the plan, or go on with the interrupted run.

        Raises:
            Refused: it cannot begin: another run works on this project, or nothing can be written.
        """
        return await self.applying.run(sink, resume=resume)

    async def stop(self, kind: StopKind) -> None:
        """Answer of the Ctrl+C conversation."""
        if self._applying is not None:
            self._applying.stop(kind)

    async def remedy(self, action: str, value: str | Secret | None = None) -> ActionResult:
        """Apply a remedy of the last problem."""
        from flywizard.session_actions import remedy

        return await remedy(self, action, value)

    def report(self) -> str:
        """Return the redacted report of the last problem."""
        from flywizard.session_actions import report

        return report(self)

    def summary(self) -> Summary:
        """Return Done."""
        made = self._applying.summary if self._applying is not None else None
        return made or Summary("nothing was done")

    def log_path(self) -> str:
        """Return the run log's path, home shortened to ``~``."""
        return str(shorten_home(str(self.folder() / "run.log")))

    async def close(self) -> None:
        """Let go of everything."""
        await self._back.close()

    def scrub(self, text: str) -> str:
        """Clean and mask a text."""
        return self.state.redactor.mask(clean(text))

    def keep_crash(self, report: str) -> str:
        """Keep a crash report, redacted, in the state folder; return the text to print."""
        text = self.scrub(report)
        try:
            place = self.folder() / "crash.txt"
            write_private(place, text + "\n")
        except OSError:
            return text
        return f"{text}\n\nkept in `{shorten_home(str(place))}`"
