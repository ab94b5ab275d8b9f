"""Owns the headless wizard: answers, live checks, Review, run. Every front talks to this and to nothing behind it."""

from __future__ import annotations

import asyncio
import os
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flywizard import cost, dotenv, session_views
from flywizard.answers import BY_ID, validate
from flywizard.backstage import Backstage
from flywizard.draft import Answer, from_environment, read_draft
from flywizard.events import Outcome, Problem
from flywizard.fronts import (
    PAGES,
    TITLES,
    ActionResult,
    Check,
    Field,
    Header,
    HomeItem,
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
from flywizard.session_state import State, environment_answers
from flywizard.state_folder import project_state_dir, write_private
from flywizard.steps.catalogue import SPEC_FILE, build_plan
from flywizard.text import clean, duration, shorten_home
from flywizard.vault import LayeredVault, Secret, VaultError

if TYPE_CHECKING:
    from flywizard.project.model import Findings

TOKEN_VARIABLES = ("FLY_API_TOKEN", "FLY_ACCESS_TOKEN")


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
        for name, value in (secrets or {}).items():
            self._type(name, value)
        prefix = "FLYWIZARD_SECRET_"
        state.environment_names = frozenset(
            n.removeprefix(prefix) for n in back.environ if n.startswith(prefix)
        )
        for name, text in back.environ.items():
            if name.startswith(prefix) or name in TOKEN_VARIABLES:
                state.redactor.add(text)
        self._ports: Ports | None = None
        self._folder: Path | None = None
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
        if self._folder is None:
            name = self.state.value("project.name")
            found = project_state_dir(
                self._back.project_root, self.state.value("signin.organization"), name, self._back.environ
            )
            if found.recorded is not None:
                found = found.adopt()
            self._folder = found.path
            draft = self._folder / "draft.toml"
            if draft.exists():
                self.state.draft.put("draft", read_draft(draft.read_text("utf-8", "replace")))
                self.state.refresh()
        return self._folder

    def journal_state(self) -> JournalState:
        """Return what the journal says, without opening it for writing."""
        return read_state(self.folder() / JOURNAL_FILE)

    def _type(self, field_id: str, value: Secret) -> None:
        self.state.typed[field_id] = value
        self.state.redactor.add(value.reveal())

    def _mask(self) -> list[str]:
        values = [v.reveal() for v in self.state.typed.values()]
        values += [v.reveal() for _, v in self.state.from_files.values()]
        if self.state.vault is not None:
            values += [
                s.reveal() for n in self.state.vault_names if (s := self.state.vault.get(n)) is not None
            ]
        values += [v for n, v in self._back.environ.items() if n in TOKEN_VARIABLES]
        return [v for v in values if v]

    async def _doors(self) -> Ports:
        if self._ports is None:
            vault = await self.vault()
            self._ports = self._back.ports(self.folder(), vault, self._mask)
        return self._ports

    async def vault(self) -> LayeredVault:
        """Return the places where values are kept, opened when first asked for."""
        if self.state.vault is None:
            vault = await self._back.vault(self.folder().name, self.folder())
            self.state.vault = vault
            self.state.vault_names = frozenset(vault.names())
        return self.state.vault

    # what is always on screen

    def header(self) -> Header:
        """Return the line on top and the foot of the rail."""
        state = self.state
        vault = state.vault
        monthly = ""
        if state.plan is not None:
            monthly = cost.money(cost.total([c for s in state.plan.steps for c in s.costs]))
        ok = None if vault is None else (vault.lasting or self._back.rehearsal)
        place = "" if vault is None else vault.place
        return Header(
            state.value("project.name"), state.value("signin.organization"), state.value("signin.region"),
            self._back.rehearsal, self._back.speed, monthly, place, ok,
        )  # fmt: skip

    def rail(self, current: Page | None) -> Sequence[RailItem]:
        """Return the steps with a one-line answer for each that is done."""
        items = []
        here = PAGES.index(current) if current is not None else -1
        for number, page in enumerate(PAGES):
            answer = self._answer(page) if number < here or page in self.state.visited else ""
            word = "current" if page == current else "done" if number < here else "todo"
            if (
                page == "deploy"
                and self.state.problem is not None
                and self._running is not None
                and number == here
            ):
                word = "failed"
            if number < here and answer.endswith("not used"):
                word = "skipped"
            items.append(RailItem(page, TITLES[page], word, answer))  # type: ignore[arg-type]
        return items

    def _answer(self, page: Page) -> str:
        value = self.state.value
        match page:
            case "prerequisites":
                checks = self.state.checks.get(page, {}).values()
                return f"{sum(c.state != 'failed' for c in checks)} of {len(checks)} ready" if checks else ""
            case "signin":
                return (
                    f"{self.state.account.email} · {value('signin.organization')}"
                    if self.state.account.email
                    else ""
                )
            case "project":
                return ", ".join(s.name for s in self.state.findings.services) if self.state.findings else ""
            case "database":
                return {"managed": "Managed Postgres", "existing": "existing", "none": "not used"}.get(
                    value("database.kind"), ""
                )
            case "broker":
                from flywizard import providers

                if value("broker.kind") == "none":
                    return "not used"
                return providers.provider(value("broker.provider") or "other").label
            case "secrets":
                return f"{len([i for i in self.state.items() if i.secret])} values"
            case "review":
                return f"{self._review.changes} changes" if self._review is not None else ""
            case _:
                return ""

    _review: ReviewView | None = None

    # Home

    def home(self) -> HomeView:
        """Return Home from local state only."""
        items = []
        notice = ""
        try:
            journal = self.journal_state()
        except OSError:
            journal = JournalState()
        last = journal.last
        if journal.resumable and last is not None:
            done = sum(r.status in ("done", "skipped") for r in journal.steps.values())
            notice = (
                f"A deployment stopped {self._ago(last.ended or last.time)}. You can go on where it stopped."
            )
            detail = f"{done} of {len(journal.steps)} steps done; settles what was in doubt first"
            items.append(HomeItem("resume", "Resume", detail))
        deployed = last is not None and last.outcome in ("done", "nothing-to-do")
        items.append(
            HomeItem("deploy", "Deploy changes", "looks what changed since the last release")
            if deployed
            else HomeItem("first", "First deployment", "asks first, changes nothing before the Review")
        )
        if deployed:
            items.append(
                HomeItem("first", "Go through the answers", "the same steps, with what you said last time")
            )
        if not self._back.rehearsal:
            items.append(
                HomeItem(
                    "rehearse",
                    "Rehearse",
                    "the same, offline: `flywizard rehearse .`",
                    disabled="run `flywizard rehearse .`",
                )
            )
        place = self.state.folder_name
        where = (
            f"{self.state.branch} @ {self.state.commit}"
            if self.state.commit
            else str(shorten_home(str(self._back.project_root)))
        )
        dirty = f" · {len(self.state.dirty)} files not committed" if self.state.dirty else ""
        return HomeView(f"{place} · {where}{dirty}", tuple(items), notice)

    def _ago(self, when: str) -> str:
        from datetime import datetime

        try:
            then = datetime.fromisoformat(when).timestamp()
        except ValueError:
            return "earlier"
        return f"{duration(max(0.0, self._back.now() - then))} ago"

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
        if item == "resume":
            await self.prepare()
            self.resuming = True
            return "deploy"
        if item == "deploy":
            await self.prepare()
            return "review"
        return "prerequisites"

    resuming = False

    async def prepare(self) -> None:
        """Go through all form pages without showing them."""
        for page in PAGES[:6]:
            await self.enter(page)
            await self.leave(page)

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
                self._fill_stand_ins()
            case "secrets":
                await self.vault()
                self._fill_stand_ins()
                self._read_env_files()
                await self._ask_what_fly_holds()
            case "review":
                await self._git()
            case _:
                pass
        state.visited.add(page)

    async def _load_account(self) -> None:
        if self.state.account.email:
            return
        vault = await self.vault()
        if (
            not any(self._back.environ.get(n) for n in TOKEN_VARIABLES)
            and "FLY_API_TOKEN" not in self.state.typed
        ):
            kept = vault.get("FLY_API_TOKEN")
            if kept is not None:
                self.state.redactor.add(kept.reveal())
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

    def _fill_stand_ins(self) -> None:
        stand_ins = self._back.stand_ins
        if stand_ins is None:
            return
        for field_id in ("broker.username", "broker.password"):
            if field_id in stand_ins.secrets and self.state.secret(field_id) is None:
                self._type(field_id, stand_ins.secrets[field_id])
        for item in self.state.items():
            if item.secret and item.origin in ("stand-in", "generated") and self.state.vault is not None:
                self.state.redactor.add(stand_ins.secret(item.name).reveal())

    def _read_env_files(self) -> None:
        state = self.state
        if state.findings is None or state.from_files or not self.root.is_dir():
            return
        for path in state.findings.env_files:
            target = (self.root / path).resolve()
            if not target.is_relative_to(self.root.resolve()) or not target.is_file():
                continue
            read = dotenv.parse(target.read_bytes())
            state.file_notes += [f"{path}:{n.line}: {n.text}" for n in read.notices]
            for entry in read.entries:
                if entry.value is None or not entry.value:
                    continue
                if (
                    dotenv.is_placeholder(entry.value)
                    or dotenv.is_local(entry.name, entry.value)
                    or dotenv.is_dangerous(entry.name)
                ):
                    continue
                state.from_files[entry.name] = (f"{path}:{entry.line}", entry.value)
                if dotenv.secret_kind(entry.name, entry.value) == "secret":
                    state.redactor.add(entry.value.reveal())

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
            self._type(field_id.removeprefix("secret."), value)
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
                self._type("broker.username", Secret(preset.fixed_user))

    async def check(self, page: Page, on_check: OnCheck) -> None:
        """Run the page's live checks."""
        if page == "prerequisites":
            self.state.checks[page] = {}

            def tell(check: Check) -> None:
                self.state.remember(page, check)
                on_check(check)

            await self._back.prerequisites(tell)
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
                await self._keep_secrets(page)
            except VaultError as error:
                errors["vault"] = f"{error.text}. {error.fix}".strip()
        try:
            write_private(self.folder() / "draft.toml", state.draft.to_toml())
        except OSError as error:
            errors["draft"] = str(error)
        return errors

    async def _keep_secrets(self, page: Page) -> None:
        """Put what was typed, generated or taken from a file into the vault."""
        vault = await self.vault()
        state = self.state
        stand_ins = self._back.stand_ins
        if page in ("broker", "database"):
            for field_id in ("broker.username", "broker.password", "database.url"):
                if field_id.startswith(page) and field_id in state.typed:
                    vault.set(state.vault_name(field_id), state.typed[field_id])
        else:
            for item in state.items():
                if not item.secret:
                    continue
                if item.name in state.typed:
                    vault.set(item.name, state.typed[item.name])
                elif item.origin == "env-file":
                    vault.set(item.name, state.from_files[item.name][1])
                elif item.origin in ("generated", "stand-in"):
                    new = stand_ins.secret(item.name) if stand_ins is not None else dotenv.generate_secret()
                    state.redactor.add(new.reveal())
                    vault.set(item.name, new)
        state.vault_names = frozenset(vault.names())

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
