"""Owns the border between the headless wizard and its fronts: what a front may ask for, and what it is shown.

The Textual wizard and the plain front are written against ``Wizard``; ``session.Session`` is the real one.
Every text here is clean already. No front sees an adapter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from flywizard.events import Event, Outcome, Problem
from flywizard.vault import Secret

Page: TypeAlias = Literal[
    "prerequisites", "signin", "project", "database", "broker", "secrets", "review", "deploy", "done"
]
PAGES: tuple[Page, ...] = (
    "prerequisites",
    "signin",
    "project",
    "database",
    "broker",
    "secrets",
    "review",
    "deploy",
    "done",
)
TITLES: Mapping[Page, str] = {
    "prerequisites": "Prerequisites",
    "signin": "Sign in",
    "project": "Project",
    "database": "Database",
    "broker": "Kafka",
    "secrets": "Secrets",
    "review": "Review",
    "deploy": "Deploy",
    "done": "Done",
}
CheckState: TypeAlias = Literal["waiting", "running", "ok", "warn", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a question."""

    value: str
    label: str
    detail: str = ""
    """Dimmed words beside it."""
    price: str = ""
    """e.g. ``$40.80 a month``."""
    disabled: str = ""
    """Why it can't be chosen now; empty: it can."""


@dataclass(frozen=True, slots=True)
class Field:
    """A question as a front draws it now."""

    id: str
    """e.g. ``database.plan``; ``secret.OPENAI_API_KEY``."""
    label: str
    kind: Literal["text", "choice", "bool", "secret", "int", "list", "multiline"]
    value: str = ""
    """Text to edit; ``true``/``false`` for bool; for a secret ``••••`` when one is known, else empty."""
    source: str = ""
    """flag · environment · flywizard.toml · detected · default · you · backend/.env · generated · derived · Fly has it."""
    choices: tuple[Choice, ...] = ()
    help: str = ""
    error: str = ""
    """In words, shown under the field."""
    required: bool = True
    flag: str = ""
    variable: str = ""
    group: str = ""
    """Fields of one group stand together under this heading."""
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A live check; sent again, whole, at each change."""

    id: str
    title: str
    state: CheckState
    text: str = ""
    fix: str = ""
    """What to do, as a command in backticks or words."""
    action: str = ""
    """Id of an Action of the page that mends it, or empty."""
    seconds: float | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something a page offers on a key besides Back and Next."""

    id: str
    """install-flyctl · login · paste-token · recheck · fix:RULE · prove · generate:NAME · read-env · upstash:PROVIDER …"""
    key: str
    label: str
    consent: str = ""
    """Text to confirm first; empty: none needed."""
    terminal: bool = False
    """The front hands the terminal over while it runs (``fly auth login``)."""
    wants: Literal["", "secret", "text"] = ""
    """The front asks for a value first and passes it on."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence of a page."""

    kind: Literal["info", "ok", "warn", "bad", "hint"]
    text: str


@dataclass(frozen=True, slots=True)
class PageView:
    """One form page as it stands."""

    page: Page
    title: str
    """The heading, e.g. ``Where should Postgres live?``."""
    lede: str = ""
    """The dimmed line below it, e.g. evidence."""
    fields: tuple[Field, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """A small read-only table (Project: service, role, command, evidence)."""
    columns: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    checks: tuple[Check, ...] = ()
    """Last known state of the page's checks."""
    actions: tuple[Action, ...] = ()
    commands: tuple[str, ...] = ()
    """"this step runs": commands the plan will run for it, or a sentence that nothing is created."""
    problem: Problem | None = None
    blocked: str = ""
    """Why Next is grey; empty: it is not."""


@dataclass(frozen=True, slots=True)
class RailItem:
    """One line of the rail on the left."""

    page: Page
    title: str
    state: Literal["todo", "current", "done", "failed", "skipped"]
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What is always on screen."""

    project: str
    organization: str = ""
    region: str = ""
    rehearsal: bool = False
    speed: float = 1.0
    monthly: str = ""
    """e.g. ``$59.12``; empty while unknown."""
    secrets_place: str = ""
    secrets_ok: bool | None = None
    resume: str = "flywizard resume"
    """The command that goes on with a stopped run."""


@dataclass(frozen=True, slots=True)
class HomeItem:
    """One line of Home."""

    id: str
    """resume · start-over · first · deploy · rollback · secrets · invite · join · rehearse."""
    title: str
    detail: str = ""
    disabled: str = ""


@dataclass(frozen=True, slots=True)
class HomeView:
    """Home: what can be done, the best first."""

    lede: str
    items: tuple[HomeItem, ...]
    notice: str = ""
    """e.g. ``A deployment stopped at Database 12 minutes ago.``."""


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One line of the Review."""

    step: str
    verb: str
    what: str
    name: str
    why: str
    price: str = ""
    commands: tuple[str, ...] = ()
    irreversible: bool = False


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """One file that will be written."""

    path: str
    verb: str
    diff: str


@dataclass(frozen=True, slots=True)
class ReviewView:
    """The Review."""

    summary: str
    """e.g. ``11 to create · 2 to reuse · 3 files to write · about 6 min``."""
    rows: tuple[ReviewRow, ...]
    files: tuple[ReviewFile, ...]
    total: str
    """e.g. ``$59.12 a month at most``."""
    idle: str = ""
    """e.g. ``$46.52 when nothing is asked of it``."""
    notes: tuple[Note, ...] = ()
    consents: tuple[str, ...] = ()
    """What must be confirmed apart (destroys, or touches what was adopted)."""
    blocked: str = ""
    changes: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Done."""

    title: str
    urls: tuple[tuple[str, str], ...] = ()
    created: tuple[str, ...] = ()
    times: tuple[tuple[str, str], ...] = ()
    """(step title, duration), and ("total", …) last."""
    secrets: str = ""
    hints: tuple[tuple[str, str], ...] = ()
    """(what, command): logs, deploy again, roll back, undo."""
    equivalent: str = ""
    """The one-line command that does the same without questions."""
    notes: tuple[Note, ...] = ()

    def lines(self) -> list[str]:
        """Return it as plain lines, as printed after the screen closes."""
        out = [self.title, ""]
        out += [f"  {name:<10} {url}" for name, url in self.urls]
        if self.created:
            out += ["", "created"] + [f"  {c}" for c in self.created]
        if self.times:
            out += ["", "times"] + [f"  {t:<34} {d}" for t, d in self.times]
        if self.secrets:
            out += ["", self.secrets]
        if self.hints:
            out += ["", "next"] + [f"  {what:<16} `{cmd}`" for what, cmd in self.hints]
        if self.equivalent:
            out += ["", "the same without questions", f"  {self.equivalent}"]
        out += [f"{n.text}" for n in self.notes]
        return out


StopKind: TypeAlias = Literal["keep", "after-step", "now", "leave"]
OnCheck: TypeAlias = Callable[[Check], None]
Sink: TypeAlias = Callable[[Event], None]
Ask: TypeAlias = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action did."""

    ok: bool
    text: str = ""
    goto: Page | None = None
    """Page to show next, or None to stay."""
    field: str = ""
    """Id of the question on that page that the user is brought to, or empty."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A run cannot begin; says why and with which exit code."""

    def __init__(self, problem: Problem, code: int) -> None:
        super().__init__(problem.what)
        self.problem, self.code = problem, code


class Wizard(Protocol):
    """The headless wizard. Methods without ``async`` return at once and touch nothing slow."""

    root: Path

    def header(self) -> Header:
        """Return the line on top and the foot of the rail."""
        ...

    def rail(self, current: Page | None) -> Sequence[RailItem]:
        """Return the steps with their answers."""
        ...

    def home(self) -> HomeView:
        """Return Home from local state only (fast)."""
        ...

    async def home_live(self) -> HomeView:
        """Return Home with what needs a look: commits, drift, keyring."""
        ...

    async def choose(self, item: str) -> Page:
        """Act on a line of Home; return the page to show."""
        ...

    async def enter(self, page: Page) -> None:
        """Prepare a page: read the project, load choices from the account. Idempotent."""
        ...

    def view(self, page: Page) -> PageView:
        """Return a form page as it stands."""
        ...

    def set(self, field_id: str, value: str | Secret) -> str:
        """Set one answer; return an error in words, or empty. Views change accordingly."""
        ...

    async def check(self, page: Page, on_check: OnCheck) -> None:
        """Run the page's live checks, all at once, reporting each change. Cancellable."""
        ...

    async def act(self, page: Page, action: str, value: str | Secret | None = None) -> ActionResult:
        """Do one of the page's actions."""
        ...

    def missing(self) -> Sequence[Field]:
        """Return every answer that is required, has no value and no default, over all pages."""
        ...

    async def leave(self, page: Page) -> Mapping[str, str]:
        """Next was pressed: validate, keep the draft; return errors by field id (empty: go on)."""
        ...

    async def review(self) -> ReviewView:
        """Probe, plan and price."""
        ...

    async def save_plan(self, path: str) -> str:
        """Write the plan file; return its path."""
        ...

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        """Apply the plan (or go on with the interrupted run); events go to ``sink`` in order. Raises Refused."""
        ...

    async def stop(self, kind: StopKind) -> None:
        """Answer of the Ctrl+C conversation."""
        ...

    async def remedy(self, action: str, value: str | Secret | None = None) -> ActionResult:
        """Apply a remedy of the last problem; ``goto`` says where to go, ``deploy`` means run again."""
        ...

    def report(self) -> str:
        """Return the redacted report of the last problem, for copying."""
        ...

    def summary(self) -> Summary:
        """Return Done."""
        ...

    def log_path(self) -> str:
        """Return the run log's path, home shortened to ``~``."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(slots=True)
class Draft:
    """Answers so far: question id to (value, source). Secrets are not in it."""

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
