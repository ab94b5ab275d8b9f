"""Owns a wizard without a world behind it: the helpdesk project, with a scripted run that tests hold and release."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flywizard.events import (
    Event,
    Outcome,
    PlanReady,
    Problem,
    Remedy,
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
from flywizard.fronts import (
    PAGES,
    TITLES,
    Action,
    ActionResult,
    Check,
    Choice,
    Field,
    Header,
    HomeItem,
    HomeView,
    Note,
    OnCheck,
    Page,
    PageView,
    RailItem,
    ReviewFile,
    ReviewRow,
    ReviewView,
    Sink,
    StopKind,
    Summary,
)
from flywizard.vault import Secret

HOSTILE = "\x1b]0;owned\x07\x1b]52;c;aGFjaw==\x07[/x] [@click=app.bell]x[/] [red]\u202egnp\x9b2J"

CRASHED = Problem(
    "APP-1",
    "the API starts and exits at once",
    "The code connects to Kafka while it starts, and `KAFKA_SECURITY_PROTOCOL` is not set, "
    "so it speaks plain text to a TLS port. `backend/src/config.py:41` reads it, default PLAINTEXT.",
    (
        Remedy(
            "set:KAFKA_SECURITY_PROTOCOL=SASL_SSL",
            "Set KAFKA_SECURITY_PROTOCOL=SASL_SSL on helpdesk-api and release again",
        ),
        Remedy("edit:broker.provider", "Choose another broker"),
        Remedy("undo", "Undo what this run created: 2 apps, 1 database", "flywizard undo"),
    ),
    docs="https://fly.io/docs/apps/",
    raw="Error: smoke checks failed",
    log=(
        "aiokafka.errors.KafkaConnectionError: Unable to bootstrap from [('pkc-4r087…', 9092)]",
        "ERROR:    Application startup failed. Exiting.",
        "Main child exited normally with code: 1",
    ),
)
REFUSED = Problem(
    "KAFKA-4",
    "The API key or its secret is wrong, or the key is for another cluster.",
    "Confluent keys belong to one cluster. Make a new one under Cluster overview → API keys, then paste both parts. "
    "A new key can take a minute to work.",
)

STEPS: tuple[StepInfo, ...] = (
    StepInfo("files", "Write flywizard.toml and fly.toml files", (), "write", (0, 1)),
    StepInfo("app.helpdesk-api", "App helpdesk-api", ("files",), "create", (1, 4)),
    StepInfo("app.helpdesk-web", "App helpdesk-web", ("files",), "create", (1, 4)),
    StepInfo("database", "Database helpdesk-db", ("files",), "create", (120, 240)),
    StepInfo("extensions", "Extensions vector, uuid-ossp", ("database",), "create", (2, 5)),
    StepInfo("schema", "Schema database/schema.sql", ("extensions",), "run", (1, 5)),
    StepInfo("secrets", "Secrets of helpdesk-api", ("app.helpdesk-api", "database"), "set", (2, 4)),
    StepInfo("build.api", "Build helpdesk-api", ("app.helpdesk-api",), "run", (60, 180)),
    StepInfo("release.api", "Release helpdesk-api", ("build.api", "secrets", "schema"), "run", (40, 120)),
    StepInfo("build.web", "Build helpdesk-web", ("app.helpdesk-web",), "run", (90, 180)),
    StepInfo("release.web", "Release helpdesk-web", ("build.web",), "run", (30, 90)),
    StepInfo("checks", "Checks of the public addresses", ("release.api", "release.web"), "run", (2, 10)),
)
URLS = {"api": "https://helpdesk-api.fly.dev", "web": "https://helpdesk-web.fly.dev"}


def script() -> list[list[Event]]:
    """Return the events of a run that succeeds, in beats; a gate may stand before each beat."""
    log = [
        ("api", "INFO:     Started server process [331]"),
        ("api", "INFO:     Waiting for application startup."),
        ("worker", "connected to pkc-4r087.us-east4.gcp.confluent.cloud:9092, group helpdesk"),
        ("worker", "assigned inbound-messages[0..5]"),
        ("api", "INFO:     Application startup complete."),
        ("api", "GET /health 200 in 3 ms"),
        ("api", "DATABASE_URL=•••• from the environment"),
    ]
    return [
        [RunStarted("helpdesk", "flywizard apply"), PlanReady(STEPS, 11, "0123456789abcdef")],
        [StepStarted("files", STEPS[0].title), StepDone("files", "3 files", 0.1)],
        [
            StepStarted("app.helpdesk-api", STEPS[1].title, ("fly apps create helpdesk-api --org acme",)),
            StepStarted("app.helpdesk-web", STEPS[2].title),
            StepDone("app.helpdesk-api", "created", 2.1),
            StepDone("app.helpdesk-web", "created", 1.9),
        ],
        [
            StepStarted("database", STEPS[3].title, ("fly mpg create --name helpdesk-db",)),
            StepWaiting("database", "the cluster is being made, usually 2–4 min"),
            StepStarted("build.api", STEPS[7].title),
            StepOutput("build.api", "stderr", "#8 [api 3/6] RUN pip install -r requirements.txt"),
        ],
        [
            StepDone("database", "ready, id 1zqdgr7", 151.0),
            StepStarted("extensions", STEPS[4].title),
            StepDone("extensions", "enabled", 3.0),
            StepStarted("schema", STEPS[5].title),
            StepDone("schema", "14 tables", 2.0),
            StepStarted("secrets", STEPS[6].title),
            StepDone("secrets", "9 staged on helpdesk-api", 2.0),
            StepDone("build.api", "186 MB", 108.0),
        ],
        [
            StepStarted("release.api", STEPS[8].title),
            StepProgress("release.api", "machines healthy · worker started", 1, 2),
            StepStarted("build.web", STEPS[9].title),
            StepProgress("build.web", "#12 [build 5/7] npm run build"),
            *(StepOutput("release.api", "log", text, service) for service, text in log),
        ],
        [
            StepDone("release.api", "2 machines healthy", 41.0),
            StepDone("build.web", "94 MB", 96.0),
            StepStarted("release.web", STEPS[10].title),
            StepDone("release.web", "1 machine healthy", 30.0),
        ],
        [
            StepStarted("checks", STEPS[11].title),
            StepDone("checks", "2 addresses answer", 1.2),
            RunEnded("done", URLS, "deployed"),
        ],
    ]


def failing(step: str = "release.api") -> list[list[Event]]:
    """Return the events of a run that stops at the API's release."""
    beats = script()[:6]
    return [*beats, [StepFailed(step, CRASHED), RunEnded("failed", {}, "stopped")]]


def resumed() -> list[list[Event]]:
    """Return the events of the run after the failed one."""
    skipped: list[Event] = [StepSkipped(s.id, "already there") for s in STEPS[:8]]
    head: list[Event] = [RunStarted("helpdesk", "flywizard resume"), PlanReady(STEPS, 4, "0123456789abcdef")]
    return [head + skipped, *script()[5:]]


@dataclass
class FakeWizard:
    """Answers like a session would; every call is kept in ``calls``."""

    root: Path = Path("helpdesk")
    gated: bool = False
    rehearsal: bool = True
    runs: list[list[list[Event]]] = field(default_factory=lambda: [script()])
    """One script a run; the last is used again."""
    interrupted: bool = False
    """Home offers to resume."""
    refuse_broker: bool = False
    hold_checks: asyncio.Event | None = None
    consents: tuple[str, ...] = ()
    hostile: bool = False
    missing_secret: bool = False
    crash: str = ""
    """A value that a local variable holds while ``enter`` of the project page crashes."""
    calls: list[tuple[object, ...]] = field(default_factory=list)
    secrets: dict[str, Secret] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    stops: list[StopKind] = field(default_factory=list)
    closed: bool = False
    log_file: str = "~/.local/state/flywizard/helpdesk/run.log"

    def __post_init__(self) -> None:
        self.gate = asyncio.Semaphore(0)
        self._stopped = asyncio.Event()
        self._done: set[Page] = set()
        self._run = 0
        self._checked: dict[Page, dict[str, Check]] = {}
        defaults = {
            "signin.organization": "acme",
            "signin.region": "iad",
            "database.kind": "managed",
            "database.name": "helpdesk-db",
            "database.plan": "basic",
            "database.storage_gb": "10",
            "broker.provider": "confluent",
            "broker.mechanism": "PLAIN",
            "broker.bootstrap": "pkc-4r087.us-east4.gcp.confluent.cloud:9092",
            "broker.user": "7GQ3WXTBFZLM2KPA",
            "broker.topics": "inbound-messages",
            "project.deep": "false",
        }
        self.values = defaults | self.values

    # -- what is always on screen

    def header(self) -> Header:
        monthly = "$18.32" if self.values["database.kind"] == "existing" else "$59.12"
        return Header(
            "helpdesk",
            "acme",
            self.values["signin.region"],
            self.rehearsal,
            60.0 if self.rehearsal else 1.0,
            monthly,
            "Secret Service",
            True,
        )

    def rail(self, current: Page | None) -> Sequence[RailItem]:
        answers: dict[Page, str] = {
            "prerequisites": "4 of 4 ready",
            "signin": "you@example.com · acme",
            "project": "api, worker, web",
            "database": "Managed Postgres",
            "broker": "Confluent Cloud",
            "secrets": "9 in the keyring",
            "review": "11 to create",
        }
        at = PAGES.index(current) if current else -1
        items = []
        for index, page in enumerate(PAGES):
            done = index < at
            state = "done" if done else "current" if page == current else "todo"
            items.append(RailItem(page, TITLES[page], state, answers.get(page, "") if done else ""))  # type: ignore[arg-type]
        return items

    def home(self) -> HomeView:
        items = [
            HomeItem("first", "First deployment", "never deployed from here"),
            HomeItem("deploy", "Deploy changes", "", "nothing has been deployed yet"),
            HomeItem("rollback", "Roll back", "", "nothing has been deployed yet"),
            HomeItem("secrets", "Secrets", "9 names, 1 differs from what runs"),
            HomeItem("invite", "Invite a teammate", "a token for these two apps, 30 days"),
            HomeItem("rehearse", "Rehearse", "the same, offline, on a simulated Fly.io"),
        ]
        notice = ""
        if self.interrupted:
            items.insert(
                0, HomeItem("resume", "Resume", "7 of 12 steps done; settles what was in doubt first")
            )
            notice = "A deployment stopped at Database 12 minutes ago."
        lede = "helpdesk  ·  main @ 4f2c1ab"
        if self.hostile:
            lede = HOSTILE
            items = [replace(item, title=HOSTILE, detail=HOSTILE) for item in items]
        return HomeView(lede, tuple(items), notice)

    async def home_live(self) -> HomeView:
        view = self.home()
        return (
            view if self.hostile else replace(view, lede=view.lede + "  ·  3 commits since the last release")
        )

    async def choose(self, item: str) -> Page:
        self.calls.append(("choose", item))
        return "deploy" if item == "resume" else "prerequisites"

    # -- pages

    async def enter(self, page: Page) -> None:
        self.calls.append(("enter", page))
        if self.crash and page == "project":
            token = self.crash
            raise RuntimeError(f"a crash beside {len(token)} characters")

    def view(self, page: Page) -> PageView:
        view = self._page(page)
        checks = tuple(self._checked.get(page, {}).values())
        view = replace(view, checks=checks)
        if any(c.state == "failed" for c in checks):
            view = replace(view, blocked="a check failed: see above")
        if self.hostile:
            view = replace(
                view,
                title=HOSTILE,
                lede=HOSTILE,
                notes=(Note("bad", HOSTILE),),
                commands=(HOSTILE,),
                fields=tuple(
                    replace(f, label=HOSTILE, source=HOSTILE, help=HOSTILE, error=HOSTILE)
                    for f in view.fields
                ),
                actions=(Action("recheck", "k", HOSTILE),),
                rows=((HOSTILE, HOSTILE),),
            )
        return view

    def _page(self, page: Page) -> PageView:
        value = self.values
        match page:
            case "prerequisites":
                return PageView(
                    page,
                    "What this machine has",
                    "All checks run at once; nothing is installed without your consent",
                    actions=(
                        Action("recheck", "k", "check again"),
                        Action(
                            "install-flyctl",
                            "i",
                            "install flyctl",
                            consent="Run the official installer of flyctl?",
                        ),
                    ),
                    commands=("nothing is created: this step only looks",),
                )
            case "signin":
                regions = tuple(
                    Choice(c, f"{n} ({c})")
                    for c, n in (
                        ("ams", "Amsterdam"),
                        ("fra", "Frankfurt"),
                        ("iad", "Ashburn"),
                        ("lhr", "London"),
                        ("sin", "Singapore"),
                        ("syd", "Sydney"),
                    )
                )
                return PageView(
                    page,
                    "Who is deploying?",
                    "Signed in as `you@example.com`, by flyctl's own login",
                    fields=(
                        Field(
                            "signin.organization",
                            "Organisation",
                            "choice",
                            value["signin.organization"],
                            "default",
                            (Choice("acme", "Acme"), Choice("personal", "Personal")),
                            help="Who pays",
                            flag="--organization",
                            variable="FLYWIZARD_ORGANIZATION",
                        ),
                        Field(
                            "signin.region",
                            "Region",
                            "choice",
                            value["signin.region"],
                            "flywizard.toml",
                            regions,
                            help="Where everything runs",
                            flag="--region",
                            variable="FLYWIZARD_REGION",
                        ),
                    ),
                    actions=(
                        Action("login", "l", "sign in as somebody else", terminal=True),
                        Action("paste-token", "t", "paste a token", wants="secret"),
                    ),
                    commands=("fly auth whoami --json",),
                )
            case "project":
                return PageView(
                    page,
                    "What this repository is",
                    "3 services, Postgres with 2 extensions, Kafka through aiokafka",
                    columns=("service", "role", "command", "found in"),
                    rows=(
                        (
                            "api",
                            "FastAPI",
                            "uvicorn src.main:app --host 0.0.0.0 --port 8000",
                            "backend/src/main.py:12",
                        ),
                        (
                            "worker",
                            "Kafka worker",
                            "python -m src.workers.message_processor",
                            "docker-compose.yml:31",
                        ),
                        ("web", "Next.js", "node server.js", "frontend/package.json:4"),
                    ),
                    fields=(
                        Field(
                            "project.deep",
                            "Deep health check",
                            "bool",
                            value["project.deep"],
                            "default",
                            help="Also ask the database on each health check",
                            flag="--deep-health",
                        ),
                    ),
                    notes=(
                        Note(
                            "warn",
                            '`frontend/next.config.js:3` has no `output: "standalone"`; the image is 4 times larger',
                        ),
                        Note("ok", "no secret is in a file that git tracks"),
                    ),
                    actions=(Action("fix:C-12", "m", "mend it"),),
                    commands=("nothing is created: files are written after the Review",),
                )
            case "database":
                return self._database()
            case "broker":
                return self._broker()
            case "secrets":
                known = "" if self.missing_secret and "secret.OPENAI_API_KEY" not in self.secrets else "••••"
                return PageView(
                    page,
                    "Which values does the code need?",
                    "9 names are read; kept in Secret Service, never in a file",
                    fields=(
                        Field(
                            "secret.DATABASE_URL",
                            "DATABASE_URL",
                            "secret",
                            "••••",
                            "derived",
                            group="helpdesk-api",
                            readonly=True,
                        ),
                        Field(
                            "secret.SESSION_KEY",
                            "SESSION_KEY",
                            "secret",
                            "••••",
                            "generated",
                            group="helpdesk-api",
                        ),
                        Field(
                            "secret.OPENAI_API_KEY",
                            "OPENAI_API_KEY",
                            "secret",
                            known,
                            "backend/.env" if known else "",
                            group="helpdesk-api",
                            help="read in backend/src/config.py:22",
                            variable="OPENAI_API_KEY",
                        ),
                        Field(
                            "secret.SENTRY_DSN",
                            "SENTRY_DSN",
                            "secret",
                            "",
                            "",
                            group="helpdesk-web",
                            required=False,
                        ),
                    ),
                    actions=(
                        Action(
                            "read-env", "v", "read backend/.env", consent="Read 4 values from backend/.env?"
                        ),
                    ),
                    commands=(
                        "fly secrets import -a helpdesk-api --stage < DATABASE_URL=••••, OPENAI_API_KEY=••••",
                    ),
                    blocked="" if known else "OPENAI_API_KEY has no value, and only you know it",
                )
            case _:
                return PageView(page, TITLES[page])

    def _database(self) -> PageView:
        value = self.values
        kind = Field(
            "database.kind",
            "",
            "choice",
            value["database.kind"],
            "default",
            (
                Choice("managed", "Managed Postgres", "backups, failover, extensions", "$40.80 a month"),
                Choice(
                    "unmanaged",
                    "Fly Postgres, unmanaged",
                    "you run it, no support, image + pgvector",
                    "$5.44 a month",
                    disabled="comes with a later version",
                ),
                Choice(
                    "existing",
                    "A database that exists",
                    "paste its URL; it is tried before anything is changed",
                ),
            ),
        )
        if value["database.kind"] == "existing":
            known = "••••" if "database.url" in self.secrets else ""
            fields = (
                kind,
                Field(
                    "database.url",
                    "URL",
                    "secret",
                    known,
                    "you" if known else "",
                    flag="--database-url",
                    variable="DATABASE_URL",
                ),
            )
            return PageView(
                "database",
                "Where should Postgres live?",
                "",
                fields,
                commands=("nothing is created: the URL is tried now",),
                blocked="" if known else "the database has no URL",
            )
        storage = value["database.storage_gb"]
        bad = "" if storage.isdigit() and 1 <= int(storage) <= 500 else "Disk is a number of GB from 1 to 500"
        plans = (
            Choice("basic", "Basic", "shared-2x · 1 GB", "$38.00"),
            Choice("starter", "Starter", "shared-2x · 2 GB", "$72.00"),
            Choice("launch", "Launch", "performance-2x · 8 GB", "$282.00"),
        )
        managed = (
            kind,
            Field("database.name", "Name", "text", value["database.name"], "default", flag="--database-name"),
            Field(
                "database.plan",
                "Plan",
                "choice",
                value["database.plan"],
                "default",
                tuple(replace(p, detail="" if i else p.detail) for i, p in enumerate(plans)),
                flag="--database-plan",
                variable="FLYWIZARD_DATABASE_PLAN",
                help="More can be had later without a new database",
            ),
            Field(
                "database.storage_gb",
                "Disk in GB",
                "int",
                storage,
                "default",
                error=bad,
                flag="--database-storage-gb",
            ),
        )
        return PageView(
            "database",
            "Where should Postgres live?",
            "Your code asks for `vector` and `uuid-ossp` (database/schema.sql:3, :4) through `asyncpg` (backend/src/db.py:12)",
            managed,
            notes=(
                Note("warn", "pool 20 × 3 processes = 60 > 50 connections; we set `DB_POOL_MAX_SIZE=12`"),
            ),
            commands=(
                f"fly mpg create --name {value['database.name']} --org acme --region {value['signin.region']}"
                f" --plan {value['database.plan']} --volume-size {storage}",
                "fly mpg databases extensions enable vector -c ‹cluster› -d fly-db",
                "fly mpg databases extensions enable uuid-ossp -c ‹cluster› -d fly-db",
            ),
        )

    def _broker(self) -> PageView:
        value = self.values
        known = "" if self.missing_secret and "broker.password" not in self.secrets else "••••"
        return PageView(
            "broker",
            "Which Kafka?",
            "aiokafka in backend/src/kafka_producer.py:31 takes SASL settings, so a hosted broker can work",
            (
                Field(
                    "broker.provider",
                    "Provider",
                    "choice",
                    value["broker.provider"],
                    "detected",
                    (
                        Choice("confluent", "Confluent Cloud"),
                        Choice("redpanda", "Redpanda"),
                        Choice("none", "No broker"),
                    ),
                ),
                Field(
                    "broker.mechanism",
                    "Mechanism",
                    "choice",
                    value["broker.mechanism"],
                    "default",
                    (Choice("PLAIN", "PLAIN over TLS"), Choice("SCRAM-SHA-256", "SCRAM-SHA-256 over TLS")),
                ),
                Field(
                    "broker.bootstrap",
                    "Bootstrap servers",
                    "text",
                    value["broker.bootstrap"],
                    "you",
                    flag="--broker-bootstrap",
                ),
                Field("broker.user", "API key", "text", value["broker.user"], "you"),
                Field("broker.password", "API secret", "secret", known, "you" if known else ""),
                Field("broker.topics", "Topics", "list", value["broker.topics"], "detected"),
            ),
            actions=(Action("prove", "p", "prove it again"),),
            problem=REFUSED if self.refuse_broker and "broker" in self._checked else None,
            commands=(
                "nothing is created: the credentials are proven now and set as secrets of helpdesk-api later",
            ),
        )

    def set(self, field_id: str, value: str | Secret) -> str:
        self.calls.append(("set", field_id, value))
        if isinstance(value, Secret):
            self.secrets[field_id] = value
            return ""
        if field_id == "database.name" and not value:
            return "A name is needed"
        self.values[field_id] = value
        if field_id == "database.storage_gb":
            return next(f.error for f in self._database().fields if f.id == field_id)
        return ""

    async def check(self, page: Page, on_check: OnCheck) -> None:
        self.calls.append(("check", page))
        checks = self._checks(page)
        mine = self._checked[page] = {}
        for check in checks:
            mine[check.id] = replace(check, state="running", text="", seconds=None, fix="", problem=None)
            on_check(mine[check.id])
        if self.hold_checks is not None:
            await self.hold_checks.wait()
        for check in checks:
            mine[check.id] = check
            on_check(check)

    def _checks(self, page: Page) -> list[Check]:
        if self.hostile:
            return [Check("x", HOSTILE, "failed", HOSTILE, HOSTILE, problem=Problem("X", HOSTILE, HOSTILE))]
        match page:
            case "prerequisites":
                return [
                    Check("flyctl", "flyctl", "ok", "0.4.87 in ~/.fly/bin", seconds=0.041),
                    Check("git", "git", "ok", "2.47.1", seconds=0.006),
                    Check(
                        "keyring", "keyring", "ok", "Secret Service keeps, gives back, forgets", seconds=0.02
                    ),
                    Check("api", "Fly's API", "ok", "answers; clocks agree within 1 s", seconds=0.31),
                    Check(
                        "wireguard",
                        "WireGuard",
                        "warn",
                        "UDP does not leave this network",
                        "use `fly wireguard websockets enable`",
                    ),
                ]
            case "database" if self.values["database.kind"] == "managed":
                return [
                    Check("name", "name is free", "ok", seconds=0.21),
                    Check("region", "Managed Postgres is in iad", "ok", seconds=0.18),
                ]
            case "broker":
                stages = [
                    Check("dns", "name resolves", "ok", "34.86.10.21", seconds=0.012),
                    Check("port", "port answers", "ok", seconds=0.041),
                    Check("tls", "TLS", "ok", "Let's Encrypt R11", seconds=0.088),
                ]
                if self.refuse_broker:
                    return [
                        *stages,
                        Check(
                            "sasl",
                            "sign-in refused",
                            "failed",
                            "the broker said: Authentication failed",
                            problem=REFUSED,
                        ),
                        Check("topics", "cluster, topics", "waiting"),
                    ]
                return [
                    *stages,
                    Check("sasl", "sign-in", "ok", "PLAIN", seconds=0.102),
                    Check(
                        "topics",
                        "cluster, topics",
                        "ok",
                        "3 brokers, inbound-messages has 6 partitions",
                        seconds=0.054,
                    ),
                ]
            case _:
                return []

    async def act(self, page: Page, action: str, value: str | Secret | None = None) -> ActionResult:
        self.calls.append(("act", page, action, value))
        if isinstance(value, Secret):
            self.secrets[action] = value
        if action == "login" and sys.stderr.isatty():
            sys.stderr.write("the browser login speaks here\n")
        return ActionResult(True, f"`{action}` is done")

    def missing(self) -> Sequence[Field]:
        return [f for page in PAGES for f in self._page(page).fields if f.required and not f.value]

    async def leave(self, page: Page) -> Mapping[str, str]:
        self.calls.append(("leave", page))
        self._done.add(page)
        return {}

    # -- review and run

    async def review(self) -> ReviewView:
        self.calls.append(("review",))
        create = "fly mpg create --name helpdesk-db --org acme --region iad --plan basic --volume-size 10"
        name = HOSTILE if self.hostile else "helpdesk-db"
        rows = (
            ReviewRow("database", "create", "Managed Postgres", name, "you, step 4", "$40.80", (create,)),
            ReviewRow(
                "ext.vector",
                "create",
                "extension",
                "vector",
                "database/schema.sql:3",
                "",
                ("fly mpg databases extensions enable vector -c ‹cluster› -d fly-db",),
            ),
            ReviewRow(
                "ext.uuid",
                "create",
                "extension",
                "uuid-ossp",
                "database/schema.sql:4",
                "",
                ("fly mpg databases extensions enable uuid-ossp -c ‹cluster› -d fly-db",),
            ),
            ReviewRow(
                "app.helpdesk-api",
                "create",
                "app",
                "helpdesk-api",
                "flywizard.toml",
                "",
                ("fly apps create helpdesk-api --org acme",),
            ),
            ReviewRow(
                "machines.api",
                "create",
                "machines",
                "web ×2, worker ×1",
                "default",
                "$12.32",
                ("fly deploy . -c backend/fly.toml --image registry.fly.io/helpdesk-api:src-4f2c1ab",),
            ),
            ReviewRow(
                "app.helpdesk-web",
                "create",
                "app",
                "helpdesk-web",
                "flywizard.toml",
                "",
                ("fly apps create helpdesk-web --org acme",),
            ),
            ReviewRow("machines.web", "create", "machines", "web ×1", "default", "$6.00"),
            ReviewRow(
                "secrets",
                "set",
                "secrets",
                "6 on helpdesk-api",
                "backend/src/config.py",
                "",
                ("fly secrets import -a helpdesk-api --stage < DATABASE_URL=••••",),
            ),
            ReviewRow("broker", "reuse", "broker", "Confluent Cloud", "proven 2 min ago"),
            ReviewRow("file.api", "write", "file", "backend/fly.toml", "keeps your comments"),
            ReviewRow("file.web", "write", "file", "frontend/fly.toml", "new"),
            ReviewRow("schema", "run", "schema", "database/schema.sql", "before the first release"),
        )
        diff = '--- a/backend/fly.toml\n+++ b/backend/fly.toml\n@@ -1,3 +1,4 @@\n app = "helpdesk-api"\n-primary_region = "lhr"\n+primary_region = "iad"\n+# [processes] below\n'
        files = (
            ReviewFile("backend/fly.toml", "change", diff),
            ReviewFile("frontend/fly.toml", "create", '+app = "helpdesk-web"\n'),
        )
        return ReviewView(
            "11 to create · 2 to reuse · 3 files to write · about 6 min",
            rows,
            files,
            "$59.12 a month at most",
            "$46.52 when nothing is asked of it",
            consents=self.consents,
            changes=11,
            digest="0123456789abcdef",
        )

    async def save_plan(self, path: str) -> str:
        self.calls.append(("save_plan", path))
        return path

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        self.calls.append(("run", resume))
        beats = self.runs[min(self._run, len(self.runs) - 1)]
        self._run += 1
        self._stopped.clear()
        outcome: Outcome = "done"
        for beat in beats:
            if self.gated and not await self._opened():
                sink(RunEnded("interrupted"))
                return "interrupted"
            for event in beat:
                sink(event)
                if isinstance(event, RunEnded):
                    outcome = event.outcome
            await asyncio.sleep(0)
        return outcome

    async def _opened(self) -> bool:
        opened = asyncio.ensure_future(self.gate.acquire())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({opened, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (opened, stopped):
                if not task.done():
                    task.cancel()
            await asyncio.gather(opened, stopped, return_exceptions=True)
        return not self._stopped.is_set()

    def release(self, beats: int = 1) -> None:
        """Let the run go on by so many beats."""
        for _ in range(beats):
            self.gate.release()

    async def stop(self, kind: StopKind) -> None:
        self.stops.append(kind)
        if kind != "keep":
            self._stopped.set()

    async def remedy(self, action: str, value: str | Secret | None = None) -> ActionResult:
        self.calls.append(("remedy", action, value))
        if action.startswith("edit:"):
            return ActionResult(True, "", "broker", action.partition(":")[2])
        return ActionResult(True, "", "deploy")

    def report(self) -> str:
        return "APP-1: the API starts and exits at once\nflywizard 0.1.0 · rehearsal\n"

    def summary(self) -> Summary:
        title = "helpdesk is deployed"
        return Summary(
            HOSTILE if self.hostile else title,
            tuple(URLS.items()),
            ("Managed Postgres helpdesk-db", "app helpdesk-api: 2 web, 1 worker", "app helpdesk-web: 1 web"),
            (*((s.title, f"{n} s") for n, s in enumerate(STEPS)), ("total", "3 min 12 s")),
            "9 secrets are in Secret Service and on helpdesk-api, none in a file",
            (
                ("logs", "flywizard logs"),
                ("deploy again", "flywizard deploy"),
                ("roll back", "flywizard rollback"),
                ("undo", "flywizard destroy"),
            ),
            "flywizard apply --yes --organization acme --region iad --database-plan basic",
        )

    def log_path(self) -> str:
        return self.log_file

    async def close(self) -> None:
        self.closed = True
