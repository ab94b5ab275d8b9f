"""Owns the questions: every one once, with its field, flag, variable, help, validator and when it is asked.

The forms, the flags, the ``FLYWIZARD_…`` variables, the list of missing answers and the docs are made from it.
Values of secrets are not here: they are named after the variable that the code reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from flywizard.fronts import Choice, Page

Kind = Literal["text", "choice", "bool", "secret", "int", "list", "multiline"]
Shown = Callable[[Mapping[str, str]], bool]

APP_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")


def _always(_: Mapping[str, str]) -> bool:
    return True


def _when(field_id: str, *values: str) -> Shown:
    return lambda answers: answers.get(field_id) in values


def app_name(value: str) -> str:
    """Check an app's name (Fly: 2–63 lower-case letters, digits and dashes, no dash at the ends)."""
    if APP_NAME.fullmatch(value):
        return ""
    return "use 2 to 63 lower-case letters, digits and dashes, without a dash at either end"


def project_name(value: str) -> str:
    """Check the project's name: it is the prefix of every resource."""
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", value):
        return ""
    return "use lower-case letters, digits and dashes, at most 41"


def whole_number(low: int, high: int) -> Callable[[str], str]:
    """Return a check for a whole number between ``low`` and ``high``, both included."""

    def check(value: str) -> str:
        if value.isascii() and value.isdigit() and low <= int(value) <= high:
            return ""
        return f"a whole number from {low:,} to {high:,}"

    return check


def bootstrap_servers(value: str) -> str:
    """Check ``host:port``, several divided by commas."""
    parts = [p.strip() for p in value.split(",") if p.strip()]
    if not parts:
        return "name at least one server, as `host:port`"
    for part in parts:
        port = part.rsplit(":", 1)[-1]
        if ":" not in part or not port.isdigit() or not 0 < int(port) < 65536:
            return f"`{part}` has no port: write `host:port`"
    return ""


def one_line(value: str) -> str:
    """Check that something was entered, on one line."""
    if not value.strip():
        return "this can't be empty"
    return "one line only" if "\n" in value else ""


def health_path(value: str) -> str:
    """Check a URL path."""
    return "" if value.startswith("/") and " " not in value else "a path that starts with `/`"


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    id: str
    """Also the key in ``draft.toml``."""
    page: Page
    label: str
    kind: Kind
    flag: str
    help: str
    choices: tuple[Choice, ...] = ()
    """Fixed choices; the account's own lists (organisations, regions) are filled in by the session."""
    check: Callable[[str], str] = one_line
    shown: Shown = _always
    required: bool = True
    group: str = ""
    depends: tuple[str, ...] = ()
    """Questions whose change makes this one's live check run again."""

    @property
    def variable(self) -> str:
        """Return the environment variable, e.g. ``FLYWIZARD_DATABASE_PLAN``."""
        return "FLYWIZARD_" + self.flag.removeprefix("--").replace("-", "_").upper()


def _optional(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda value: check(value) if value else ""


SERVICES = "Services"

QUESTIONS: tuple[Question, ...] = (
    Question(
        "signin.organization", "signin", "Organisation", "choice", "--organization",
        "The Fly.io organisation that owns and pays for everything.",
    ),
    Question(
        "signin.region", "signin", "Region", "choice", "--region",
        "Where machines and the database run; one region keeps private traffic free.",
    ),
    Question(
        "project.name", "project", "Project", "text", "--name",
        "The prefix of every resource.", check=project_name,
    ),
    Question(
        "api.app", "project", "API app", "text", "--api-app",
        "The app's name is also its address: NAME.fly.dev. Names are shared by all of Fly.io.",
        check=app_name, group=SERVICES,
    ),
    Question(
        "api.command", "project", "API command", "text", "--api-command",
        "What starts the API inside its image.", group=SERVICES,
    ),
    Question(
        "api.port", "project", "API port", "int", "--api-port",
        "The port that the API listens on.", check=whole_number(1, 65535), group=SERVICES,
    ),
    Question(
        "api.health", "project", "Health path", "text", "--api-health",
        "A path that answers 200 without a login and without the database; empty: a TCP check.",
        check=_optional(health_path), required=False, group=SERVICES,
    ),
    Question(
        "api.memory", "project", "API memory (MB)", "int", "--api-memory",
        "Memory of each API machine.", check=whole_number(256, 8192), group=SERVICES,
    ),
    Question(
        "worker.placement", "project", "Worker runs", "choice", "--worker",
        "As a process group of the API's app it shares image, secrets and release.",
        choices=(
            Choice("group", "in the API's app", "same image, one release"),
            Choice("app", "as an app of its own", "released and scaled apart"),
        ),
        group=SERVICES,
    ),
    Question(
        "worker.app", "project", "Worker app", "text", "--worker-app",
        "The name of the worker's own app.", check=app_name,
        shown=_when("worker.placement", "app"), group=SERVICES,
    ),
    Question(
        "worker.command", "project", "Worker command", "text", "--worker-command",
        "What starts the worker inside the image.", group=SERVICES,
    ),
    Question(
        "worker.memory", "project", "Worker memory (MB)", "int", "--worker-memory",
        "Memory of the worker's machine.", check=whole_number(256, 8192), group=SERVICES,
    ),
    Question(
        "web.app", "project", "Web app", "text", "--web-app",
        "The frontend's app; its address is NAME.fly.dev.", check=app_name, group=SERVICES,
    ),
    Question(
        "web.memory", "project", "Web memory (MB)", "int", "--web-memory",
        "Memory of each web machine.", check=whole_number(256, 8192), group=SERVICES,
    ),
    Question(
        "database.kind", "database", "Postgres", "choice", "--database",
        "Where the database lives.",
        choices=(
            Choice("managed", "Managed Postgres", "backups, failover"),
            Choice("unmanaged", "Fly Postgres, unmanaged", "you run it",
                   disabled="not offered yet: its image has no pgvector"),
            Choice("existing", "A database that exists", "paste its URL"),
            Choice("none", "None", "the project needs no database"),
        ),
    ),
    Question(
        "database.name", "database", "Name", "text", "--database-name",
        "The cluster's name; one of that name is reused.", check=app_name,
        shown=_when("database.kind", "managed"),
    ),
    Question(
        "database.plan", "database", "Plan", "choice", "--database-plan",
        "Size and price of the cluster.", shown=_when("database.kind", "managed"),
    ),
    Question(
        "database.storage_gb", "database", "Disk (GB)", "int", "--database-storage",
        "Provisioned storage; it can grow later, not shrink.", check=whole_number(10, 500),
        shown=_when("database.kind", "managed"),
    ),
    Question(
        "database.version", "database", "Version", "choice", "--database-version",
        "Major version of Postgres.", choices=(Choice("17", "17"), Choice("16", "16")),
        shown=_when("database.kind", "managed"),
    ),
    Question(
        "database.url", "database", "URL", "secret", "--database-url-from",
        "The whole URL, as the provider shows it. It is tried before anything is created.",
        shown=_when("database.kind", "existing"),
    ),
    Question(
        "database.schema", "database", "Schema", "choice", "--schema",
        "How the tables get there, before the first release.",
        choices=(
            Choice("sql", "the repository's SQL files"),
            Choice("alembic", "alembic, as release command"),
            Choice("prisma", "prisma migrate, as release command"),
            Choice("none", "not by flywizard"),
        ),
        shown=_when("database.kind", "managed", "existing"),
    ),
    Question(
        "broker.kind", "broker", "Kafka", "choice", "--broker",
        "Where messages go.",
        choices=(
            Choice("sasl", "A hosted broker", "SASL; proven before anything is created"),
            Choice("fly", "A private broker on Fly", "one machine",
                   disabled="not offered yet"),
            Choice("none", "None", "the project needs no broker"),
        ),
    ),
    Question(
        "broker.provider", "broker", "Provider", "choice", "--broker-provider",
        "Fills in protocol and mechanism; both stay editable.", shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.bootstrap", "broker", "Bootstrap servers", "text", "--bootstrap",
        "`host:port`, several divided by commas.", check=bootstrap_servers,
        shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.protocol", "broker", "Protocol", "choice", "--broker-protocol",
        "SASL_SSL is what hosted brokers speak.",
        choices=(Choice("SASL_SSL", "SASL over TLS"), Choice("SASL_PLAINTEXT", "SASL without TLS")),
        shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.mechanism", "broker", "Mechanism", "choice", "--broker-mechanism",
        "The SASL mechanism; the proof shows which ones the broker offers.",
        choices=(Choice("PLAIN", "PLAIN"), Choice("SCRAM-SHA-256", "SCRAM-SHA-256"),
                 Choice("SCRAM-SHA-512", "SCRAM-SHA-512")),
        shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.username", "broker", "User or API key", "secret", "--broker-username-from",
        "As the provider shows it.", shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.password", "broker", "Password or secret", "secret", "--broker-password-from",
        "Kept in the OS keyring, sent to Fly over stdin.", shown=_when("broker.kind", "sasl"),
    ),
    Question(
        "broker.ca_file", "broker", "Own CA (file)", "text", "--broker-ca-file",
        "A PEM file inside the repository or an absolute path, where the broker's CA is not a public one.",
        check=lambda value: "", shown=_when("broker.kind", "sasl"), required=False,
    ),
    Question(
        "broker.topics", "broker", "Topics", "list", "--topics",
        "Topics whose rights are read during the proof, divided by commas.",
        check=lambda value: "", shown=_when("broker.kind", "sasl"), required=False,
    ),
    Question(
        "secrets.env_files", "secrets", "Use `.env` files", "bool", "--use-env-files",
        "Take values from the repository's `.env` files; nothing in them is changed.",
        choices=(Choice("true", "yes"), Choice("false", "no")), check=lambda value: "", required=False,
    ),
    Question(
        "secrets.keep", "secrets", "Keep values in", "choice", "--keep-secrets",
        "Asked only where the OS keyring can't be used; nothing is ever kept in plain text.",
        choices=(
            Choice("keyring", "the OS keyring", "stop until it works"),
            Choice("memory", "memory, for this run only", "Fly keeps what it is given"),
        ),
    ),
)  # fmt: skip

BY_ID: Mapping[str, Question] = {q.id: q for q in QUESTIONS}
BY_FLAG: Mapping[str, Question] = {q.flag: q for q in QUESTIONS}


def shown(page: Page, answers: Mapping[str, str], services: frozenset[str]) -> list[Question]:
    """Return the page's questions that apply, in order.

    ``services`` holds the roles the project has (api, worker, web): questions on other roles are left out.
    """
    out = []
    for question in QUESTIONS:
        if question.page != page or not question.shown(answers):
            continue
        role = question.id.split(".", 1)[0]
        if role in ("api", "worker", "web") and role not in services:
            continue
        out.append(question)
    return out


def validate(question: Question, value: str) -> str:
    """Return what is wrong with a value, in words; empty: nothing."""
    if not value:
        return "this can't be empty" if question.required and question.kind != "secret" else ""
    if question.kind == "choice" and question.choices:
        known = {c.value: c for c in question.choices}
        if value not in known:
            return f"choose one of {', '.join(f'`{k}`' for k in known)}"
        if known[value].disabled:
            return known[value].disabled
    return question.check(value)
