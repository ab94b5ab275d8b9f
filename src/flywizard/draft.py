"""Owns the draft: answers with their sources, and the defaults that make Enter all the way right. Pure.

A value comes, in this order, from: you (this session) · flag · environment · flywizard.toml · draft (an
earlier session's Next) · detected · default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flywizard.answers import APP_NAME, BY_ID, QUESTIONS, Question, validate

if TYPE_CHECKING:
    from flywizard.project.model import Findings

STRENGTH = ("you", "flag", "environment", "flywizard.toml", "draft", "detected", "rehearsal", "default")
MANAGED_REGION = "iad"
FOR_THIS_RUN = frozenset({"secrets.keep"})
"""Answers that are a consent and never outlive a run."""


@dataclass(frozen=True, slots=True)
class RegionChoice:
    """A region as the account offers it."""

    code: str
    name: str
    managed_postgres: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in, and what the account offers."""

    email: str = ""
    how: str = ""
    """In words: ``flyctl's login``, ``FLY_API_TOKEN``, ``the keyring``."""
    organizations: Mapping[str, str] = field(default_factory=dict)
    """Slug to name."""
    regions: tuple[RegionChoice, ...] = ()
    note: str = ""
    """What else could sign in and does not, or what a token limits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with where it came from."""

    value: str
    source: str


def slug(text: str, *, longest: int = 30) -> str:
    """Return a name fit for an app: lower-case letters, digits, single dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")
    return plain if len(plain) >= 2 else "project"


def from_environment(environ: Mapping[str, str]) -> dict[str, Answer]:
    """Return the answers of ``FLYWIZARD_…`` variables."""
    return {
        q.id: Answer(environ[q.variable], "environment")
        for q in QUESTIONS
        if q.kind != "secret" and environ.get(q.variable)
    }


def defaults(
    findings: Findings | None, account: Account, folder: str, chosen: Mapping[str, Answer]
) -> dict[str, Answer]:
    """Return what is detected or usual for every question; ``chosen`` are the answers that stand already."""
    out: dict[str, Answer] = {}

    def value(field_id: str) -> str:
        answer = chosen.get(field_id) or out.get(field_id)
        return answer.value if answer else ""

    def put(field_id: str, text: str | int | None, source: str = "default") -> None:
        if text not in (None, ""):
            out[field_id] = Answer(str(text), source)

    put("signin.organization", _organization(account))
    put("signin.region", _region(account))
    put("project.name", slug(folder), "detected")
    if findings is None:
        return out
    name = value("project.name")
    _services(findings, name, put, value)
    _database(findings, name, put)
    _broker(findings, put)
    put("secrets.env_files", "true" if findings.env_files else "false")
    return out


def _organization(account: Account) -> str:
    if "personal" in account.organizations and len(account.organizations) > 1:
        return next(slug for slug in account.organizations if slug != "personal")
    return next(iter(account.organizations), "")


def _region(account: Account) -> str:
    managed = [r.code for r in account.regions if r.managed_postgres]
    if MANAGED_REGION in managed or not account.regions:
        return MANAGED_REGION
    return managed[0] if managed else account.regions[0].code


def _services(findings: Findings, name: str, put: Any, value: Any) -> None:
    api, worker, web = (findings.service(role) for role in ("api", "worker", "web"))
    if api is not None:
        existing = api.fly_app if api.fly_app and APP_NAME.fullmatch(api.fly_app) else None
        put("api.app", existing or f"{name}-api", "fly.toml" if existing else "default")
        put("api.command", api.command, "detected")
        put("api.port", api.port, "detected")
        put("api.health", api.health, "detected")
        put("api.memory", 1024)
    if worker is not None:
        own = worker.fly_app if worker.fly_app and (api is None or worker.fly_app != api.fly_app) else None
        own = own if own and APP_NAME.fullmatch(own) else None
        put("worker.placement", "app" if own or api is None else "group", "fly.toml" if own else "default")
        put("worker.app", own or f"{name}-worker", "fly.toml" if own else "default")
        put("worker.command", worker.command, "detected")
        put("worker.memory", 1024)
    if web is not None:
        existing = web.fly_app if web.fly_app and APP_NAME.fullmatch(web.fly_app) else None
        put("web.app", existing or f"{name}-web", "fly.toml" if existing else "default")
        put("web.memory", 1024)


def _database(findings: Findings, name: str, put: Any) -> None:
    needed = findings.database.needed
    put("database.kind", "managed" if needed else "none", "detected")
    put("database.name", f"{name}-db")
    put("database.plan", "basic")
    put("database.storage_gb", 10)
    put("database.version", 17)
    method = findings.database.schema.method
    put("database.schema", method if method in ("sql", "alembic", "prisma") else "none", "detected")


def _broker(findings: Findings, put: Any) -> None:
    put("broker.kind", "sasl" if findings.broker.needed else "none", "detected")
    put("broker.provider", "confluent")
    put("broker.protocol", "SASL_SSL")
    put("broker.mechanism", "PLAIN")
    put("broker.topics", ", ".join(findings.broker.topics), "detected")


class Draft:
    """Answers of all sources, strongest first."""

    def __init__(self) -> None:
        self._by_source: dict[str, dict[str, Answer]] = {}

    def put(self, source: str, answers: Mapping[str, Answer]) -> None:
        """Replace all answers of one source."""
        self._by_source[source] = dict(answers)

    def set(self, field_id: str, value: str, source: str = "you") -> None:
        """Set one answer; an empty value of an optional question is an answer too."""
        self._by_source.setdefault(source, {})[field_id] = Answer(value, source)

    def drop(self, field_id: str, source: str = "you") -> None:
        """Take one answer back."""
        self._by_source.get(source, {}).pop(field_id, None)

    def chosen(self) -> dict[str, Answer]:
        """Return the answers that somebody gave (not detected, not default)."""
        out: dict[str, Answer] = {}
        for source in reversed(STRENGTH[: STRENGTH.index("detected")]):
            out |= self._by_source.get(source, {})
        return out

    def all(self) -> dict[str, Answer]:
        """Return every answer, the strongest source winning."""
        out: dict[str, Answer] = {}
        for source in reversed(STRENGTH):
            out |= self._by_source.get(source, {})
        return out

    def values(self) -> dict[str, str]:
        """Return question id to value."""
        return {k: a.value for k, a in self.all().items()}

    def errors(self, questions: Iterable[Question]) -> dict[str, str]:
        """Return what is wrong, by question id."""
        answers = self.all()
        found = {}
        for question in questions:
            if question.kind == "secret":
                continue
            answer = answers.get(question.id)
            if text := validate(question, answer.value if answer else ""):
                found[question.id] = text
        return found

    def to_toml(self) -> str:
        """Return ``draft.toml``: what was answered here; never a secret."""
        lines = ["# flywizard's draft answers; no secret is in this file", "version = 1", "", "[answers]"]
        for field_id, answer in sorted(self._by_source.get("you", {}).items()):
            if field_id in BY_ID and BY_ID[field_id].kind != "secret" and field_id not in FOR_THIS_RUN:
                lines.append(f"{_toml(field_id)} = {_toml(answer.value)}")
        return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=True).replace("\\/", "/").replace("\x7f", "\\u007f")


def read_draft(text: str) -> dict[str, Answer]:
    """Read ``draft.toml``; unknown or malformed entries are left out."""
    import tomllib

    try:
        table = tomllib.loads(text).get("answers", {})
    except tomllib.TOMLDecodeError:
        return {}
    if not isinstance(table, dict):
        return {}
    return {
        key: Answer(value, "draft")
        for key, value in table.items()
        if key in BY_ID and isinstance(value, str) and BY_ID[key].kind != "secret" and key not in FOR_THIS_RUN
    }
