"""Owns the headless wizard: answers, live checks, Review, run. Every front talks to this and to nothing behind it."""

from __future__ import annotations

import asyncio
import os
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flywizard import session_home, session_views
from flywizard.answers import BY_ID, validate
from flywizard.backstage import Backstage
from flywizard.draft import Answer, from_environment
from flywizard.events import Outcome, Problem
from flywizard.fronts import (
    PAGES,
    ActionResult,
    Check,
    Field,
    Header,
    HomeView,
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
from flywizard.journal import Journal, JournalState, read_state
from flywizard.lock import RunLock
from flywizard.plan import StepError
from flywizard.ports import LookError, Ports
from flywizard.resolve import Resolved, equivalent, make_spec, resolved
from flywizard.session_checks import run_checks
from flywizard.session_place import DRAFT, Place, foreign_hint, foreign_words
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
from flywizard.session_secrets import Keeping
from flywizard.session_state import State, environment_answers
from flywizard.state_folder import write_private
from flywizard.steps.catalogue import SPEC_FILE, build_plan
from flywizard.text import clean, shorten_home
from flywizard.vault import LayeredVault, Secret, VaultError

if TYPE_CHECKING:
    from flywizard.project.model import Findings


class Session:
    """The headless wizard of one project."""

    def __init__(
        self,
        back: Backstage,
        *,
        flags: Mapping[str, str] | None = None,
        secrets: Mapping[str, Secret] | None = None,
        command: str = "flywizard",
    ) -> None:
        """Take the world behind, the answers of the command line, and the secrets it names."""
        self.root: Path = back.root
        self._back = back
        self._command = command
        self.state = State(back.project_root.name, rehearsal=back.rehearsal)
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
        self._looked: Looked | None = None
        self._resolved: Resolved | None = None
        self._running: Running | None = None
        self._lock: RunLock | None = None
        self._summary: Summary | None = None
        self._known_git = False
        self.run_id = f"{int(back.now()):x}{randomness.token_hex(2)}"
        self._load_spec()
        state.refresh()

    # what is on disk

    def _load_spec(self) -> None:
        from flywizard.spec import load

        try:
            text = (self.root / SPEC_FILE).read_text("utf-8")
        except FileNotFoundError:
            return
        self.state.spec_text = text
        self.state.spec = load(text, SPEC_FILE)
        self.state.draft.put("flywizard.toml", environment_answers(self.state.spec))

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

    async def _doors(self) -> Ports:
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
        return session_home.rail(self.state, current, self._review, ran=self._running is not None)

    _review: ReviewView | None = None

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
        await self._git()
        return self.home()

    async def _git(self) -> None:
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
            if stop is None and page != "prerequisites" and (errors or wanting or self.state.foreign):
                stop = page
        return stop

    # the form pages

    async def enter(self, page: Page) -> None:
        """Prepare a page. Idempotent."""
        state = self.state
        match page:
            case "signin":
                await self._load_account()
            case "project":
                if state.findings is None:
                    await self._read_project()
            case "broker" | "database":
                await self.vault()
                self.keeping.fill_stand_ins()
            case "secrets":
                await self.vault()
                self.keeping.fill_stand_ins()
                await asyncio.to_thread(self.keeping.read_env_files, self.root)
                await self._ask_what_fly_holds()
            case "review":
                await self._git()
            case _:
                pass
        state.visited.add(page)

    async def _load_account(self) -> None:
        if self.state.account.email:
            return
        if "FLY_API_TOKEN" not in self.state.typed:
            kept = await self.keeping.kept_token()
            if kept is not None:
                await self._back.use_token(kept)
        try:
            self.state.account = await self._back.account()
            self.state.account_problem = None
        except StepError as error:
            self.state.account_problem = error.problem
        self.state.refresh()

    async def _read_project(self) -> None:
        await asyncio.to_thread(self._inspect)
        self.state.refresh()

    def _inspect(self) -> None:
        from flywizard.project.detect import detect
        from flywizard.project.tree import scan

        self.state.tree = scan(self.root)
        if self.state.fixes:
            self.state.tree = self.state.tree.with_changes({p: c.after for p, c in self.state.fixes.items()})
        self.state.findings = detect(self.state.tree, self.state.detection_answers)

    def read_again(self) -> None:
        """Read the repository again, with the patches that were taken."""
        self._inspect()
        self.state.refresh()

    def reopen(self) -> None:
        """Make the doors anew: another token is used."""
        self._ports = None

    @property
    def findings(self) -> Findings | None:
        """Return what was read from the repository."""
        return self.state.findings

    async def _ask_what_fly_holds(self) -> None:
        if not self.state.account.email:
            return
        ports = await self._doors()
        for role in ("api", "worker", "web"):
            app = self.state.value(f"{role}.app")
            if not app or app in self.state.fly_holds or role not in self.state.roles():
                continue
            try:
                found = await ports.look.app(app)
                if isinstance(found, str):
                    continue
                self.state.fly_holds[app] = frozenset(await ports.look.secrets(app))
            except LookError:
                continue

    def view(self, page: Page) -> PageView:
        """Return a form page as it stands."""
        return session_views.view(self.state, page)

    def set(self, field_id: str, value: str | Secret) -> str:
        """Set one answer; return an error in words, or empty."""
        state = self.state
        if isinstance(value, Secret):
            if not value:
                state.typed.pop(field_id.removeprefix("secret."), None)
                return ""
            self.keeping.take(field_id.removeprefix("secret."), value)
            return ""
        if field_id.startswith("plain."):
            state.draft.set(field_id, value)
            return ""
        if field_id.startswith("question."):
            state.detection_answers[field_id.removeprefix("question.")] = value
            self._inspect()
            state.refresh()
            return ""
        question = BY_ID[field_id]
        error = validate(question, value)
        if state.draft.all().get(field_id) != Answer(value, "you"):
            state.draft.set(field_id, value)
        self._follow(field_id, value)
        state.refresh()
        if field_id in ("project.name", "signin.organization"):
            self.place.look()
        return error

    def _follow(self, field_id: str, value: str) -> None:
        """Let answers that hang on this one follow it, where the user has not set them."""
        from flywizard import providers

        if field_id == "broker.bootstrap" and value:
            found = providers.provider_of(value.split(",")[0])
            if found.id != "other" and found.id != self.state.value("broker.provider"):
                self.state.draft.set("broker.provider", found.id)
                self._follow("broker.provider", found.id)
        elif field_id == "broker.provider":
            preset = providers.provider(value)
            self.state.draft.set("broker.protocol", preset.protocol)
            self.state.draft.set("broker.mechanism", preset.mechanisms[0])
            if preset.fixed_user:
                self.keeping.take("broker.username", Secret(preset.fixed_user))

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
        await run_checks(self.state, page, self._doors, self.root, on_check)

    async def act(self, page: Page, action: str, value: str | Secret | None = None) -> ActionResult:
        """Do one of the page's actions."""
        from flywizard.session_actions import act

        return await act(self, self._back, page, action, value)

    def missing(self) -> Sequence[Field]:
        """Return every answer that is required and has no value, over all pages."""
        out = []
        for page in PAGES[:6]:
            if page == "prerequisites":
                continue
            for item in self.view(page).fields:
                if (item.required and not item.value) or item.error:
                    out.append(item)
        return out

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

    async def make_plan(self) -> Resolved:
        """Resolve the answers and make the plan; kept for the run."""
        state = self.state
        if state.findings is None or state.tree is None:
            await self._read_project()
        await self._git()
        assert state.findings is not None  # noqa: S101 - read just before
        assert state.tree is not None  # noqa: S101
        items = state.items()
        spec = make_spec(state.findings, state.values(), items, state.spec)
        commit = state.commit or "none"
        if state.dirty:
            commit += "-dirty"
        fresh = frozenset(state.typed) & {i.name for i in items}
        self._resolved = await asyncio.to_thread(
            resolved, spec, state.tree, self.root, state.findings, items,
            fixes=tuple(state.fixes.values()), fresh=frozenset() if self._back.rehearsal else fresh, commit=commit,
        )  # fmt: skip
        state.plan = build_plan(self._resolved.target, self._resolved.changes, self._inputs())
        return self._resolved

    def _inputs(self) -> dict[str, str]:
        assert self._resolved is not None  # noqa: S101 - made just before
        return {a.name: a.image or a.label for a in self._resolved.target.apps}

    def blocking(self) -> Problem | None:
        """Return what preflight objects to and the plan does not handle, or None."""
        findings = self.state.findings
        if findings is None:
            return None
        for objection in findings.problems:
            if (
                objection.blocking
                and not objection.handled
                and session_views.applies(self.state, objection.when)
            ):
                place = f"{objection.file}:{objection.line}: " if objection.file and objection.line else ""
                return Problem(objection.id, f"{place}{objection.message}", objection.remedy)
        return None

    async def review(self) -> ReviewView:
        """Probe, plan and price."""
        await self.make_plan()
        assert self.state.plan is not None  # noqa: S101 - made just before
        ports = await self._doors()
        await self.keeping.prepare_fingerprints()
        secrets = WatchedSecrets(self.state.redactor.add)
        self._looked = await look_around(self.state.plan, ports, self.journal_state(), secrets)
        view = review_of(self.state.plan, self._looked, self.state)
        blocking = self.blocking()
        if blocking is not None:
            self.state.problem = blocking
            view = replace(view, blocked=f"{blocking.what} {blocking.why}")
        self._review = view
        return view

    def plan_json(self) -> dict[str, object]:
        """Return the object of ``plan --json``; call after :meth:`review`."""
        assert self.state.plan is not None  # noqa: S101 - documented
        assert self._looked is not None  # noqa: S101
        return plan_json(self.state.plan, self._looked)

    async def save_plan(self, path: str) -> str:
        """Write the plan file; return its path. Raises OSError."""
        from flywizard.plan_file import encode

        target = Path(path)
        if not target.is_absolute():
            target = self._back.project_root / target
        text = encode(self.plan_json(), self.state.draft.all(), self.state.value("project.name"))
        write_private(target, text)
        return os.fspath(target)

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        """Apply the plan. Raises LockHeld when another run works on this project."""
        state = self.state
        if state.plan is None or resume:
            await self.make_plan()
        assert state.plan is not None  # noqa: S101 - made just before
        ports = await self._doors()
        await self.keeping.prepare_fingerprints()
        folder = self.folder()
        lock = RunLock(folder / "lock")
        lock.acquire(self._command)
        state.problem = None
        began = self._back.now()
        try:
            with Journal.open(folder / JOURNAL_FILE, now=self._back.now) as journal:
                journal.append("run", run=self.run_id, command=self._command, plan=state.plan.digest)
                log = RunLog(folder / "run.log", self._back.now)
                try:
                    self._running = Running(
                        state.plan, ports, journal, state, self.run_id, log, self._command
                    )
                    result = await self._running.go(sink, self._looked)
                    journal.append("end", run=self.run_id, outcome=result.outcome)
                finally:
                    log.close()
        finally:
            lock.release()
        if result.problems:
            state.problem_step, state.problem = next(iter(result.problems.items()))
        if result.outcome in ("done", "nothing-to-do"):
            self._reload_spec()
            hints = self._hints()
            made = summary_of(self._running, self._looked, state, self._equivalent(), hints)
            self._summary = with_total(made, self._back.now() - began)
        self.run_id = f"{int(self._back.now()):x}{randomness.token_hex(2)}"
        return result.outcome

    def _reload_spec(self) -> None:
        self._load_spec()

    def _equivalent(self) -> str:
        answers = {k: (a.value, a.source) for k, a in self.state.draft.chosen().items()}
        names = [i.name for i in self.state.items() if i.origin in ("you", "environment") and i.secret]
        return equivalent(answers, names, "rehearse" if self._back.rehearsal else "apply")

    def _hints(self) -> tuple[tuple[str, str], ...]:
        apps = [a.name for a in self._resolved.target.apps] if self._resolved else []
        out = [("logs", f"fly logs -a {app}") for app in apps]
        out.append(("deploy again", "flywizard apply"))
        if apps:
            out.append(("releases", f"fly releases --image -a {apps[0]}"))
        return tuple(out)

    async def stop(self, kind: StopKind) -> None:
        """Answer of the Ctrl+C conversation."""
        if self._running is not None and kind != "keep":
            self._running.control.stop(kind)

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
        return self._summary or Summary("nothing was done")

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
