"""Owns what is known about a repository: Findings and their parts, in the shape of ``inspect --json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Role: TypeAlias = Literal["api", "worker", "web", "other"]
Kind: TypeAlias = Literal["full-stack", "partial", "unsupported"]
Purpose: TypeAlias = Literal[
    "",
    "database-url",
    "database-direct-url",
    "database-part",
    "kafka-bootstrap",
    "kafka-protocol",
    "kafka-mechanism",
    "kafka-username",
    "kafka-password",
    "kafka-ca",
    "kafka-topic",
    "kafka-group",
    "cors",
    "api-url",
    "signing-key",
    "file",
]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a fact was read."""

    file: str
    """Relative to the root, with ``/``."""
    line: int
    """From 1."""
    what: str
    """The fact in few words, e.g. ``FastAPI application src.main:app``."""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape."""
        return {"file": self.file, "line": self.line, "what": self.what}


@dataclass(frozen=True, slots=True)
class Service:
    """One thing that has to run."""

    name: str
    role: Role
    path: str | None = None
    """Build context, ``.`` for the root; None for a prebuilt image."""
    dockerfile: str | None = None
    """Relative to the root."""
    command: str | None = None
    port: int | None = None
    health: str | None = None
    """The shallow route."""
    language: str | None = None
    framework: str | None = None
    evidence: tuple[Evidence, ...] = ()
    deep_health: str | None = None
    application: str | None = None
    """``module:object`` of an ASGI application."""
    module: str | None = None
    """Python module or script that the command starts."""
    entry_file: str | None = None
    package_manager: str | None = None
    """pip · uv · poetry · npm · yarn · pnpm · bun."""
    runtime: str | None = None
    """Version of Python or Node that the project asks for."""
    image: str | None = None
    """A prebuilt image, where nothing is to be built."""
    build_target: str | None = None
    compose_service: str | None = None
    fly_config: str | None = None
    """An existing fly.toml."""
    fly_app: str | None = None
    group: str | None = None
    """Its process group in the existing fly.toml."""
    public_names: tuple[str, ...] = ()
    """``NEXT_PUBLIC_…`` and the like that its source reads."""
    standalone: bool | None = None
    workspace: str | None = None
    """The workspace's root, where the image has to be built from it: its lock file lies there."""
    folder: str | None = None
    """Where its own source lies, if that is not ``path``: an app of a workspace whose context is the root."""

    @property
    def source(self) -> str:
        """Return the folder of its own source."""
        return self.folder or self.path or "."

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape and the additional fields."""
        return {
            "name": self.name,
            "role": self.role,
            "path": self.path,
            "dockerfile": self.dockerfile,
            "command": self.command,
            "port": self.port,
            "health": self.health,
            "language": self.language,
            "framework": self.framework,
            "evidence": [e.to_json() for e in self.evidence],
            "deep_health": self.deep_health,
            "application": self.application,
            "package_manager": self.package_manager,
            "runtime": self.runtime,
            "image": self.image,
            "fly_config": self.fly_config,
            "fly_app": self.fly_app,
            "group": self.group,
        }


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that the SQL needs, under its right name."""

    name: str
    evidence: Evidence
    written: str = ""
    """How the SQL calls it, where that differs (``pgvector``)."""


@dataclass(frozen=True, slots=True)
class Schema:
    """How the tables come to be."""

    method: Literal["sql", "alembic", "prisma", "command", "none"] | None = None
    files: tuple[str, ...] = ()
    command: str | None = None
    evidence: Evidence | None = None
    tables: tuple[str, ...] = ()
    """Tables that the SQL files create, in order, for the probe."""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape."""
        return {"method": self.method, "files": list(self.files), "command": self.command}


@dataclass(frozen=True, slots=True)
class Pool:
    """Connections that one process may hold."""

    size: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Database:
    """What the code wants of a database."""

    needed: bool = False
    engine: str | None = None
    driver: str | None = None
    """asyncpg · sqlalchemy+asyncpg · sqlalchemy+psycopg · sqlalchemy+psycopg2 · psycopg · psycopg2 · tortoise · prisma · pg."""
    dsn_env: str | None = None
    dsn_scheme: str | None = None
    extensions: tuple[Extension, ...] = ()
    schema: Schema = Schema()
    direct_env: str | None = None
    parts_env: Mapping[str, str] = field(default_factory=dict)
    """host, port, user, password, database → variable, where the code reads parts."""
    rewrites_scheme: bool = False
    """The code strips ``+asyncpg`` or the like itself."""
    pools: tuple[Pool, ...] = ()
    vector_dimensions: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape and the additional fields."""
        return {
            "needed": self.needed,
            "engine": self.engine,
            "driver": self.driver,
            "dsn_env": self.dsn_env,
            "dsn_scheme": self.dsn_scheme,
            "extensions": [{"name": e.name, "evidence": [e.evidence.to_json()]} for e in self.extensions],
            "schema": self.schema.to_json(),
            "vector_dimensions": list(self.vector_dimensions),
        }


@dataclass(frozen=True, slots=True)
class Broker:
    """What the code wants of a Kafka broker."""

    needed: bool = False
    client: str | None = None
    """aiokafka · confluent-kafka · kafka-python · faststream · faust · kafkajs."""
    sasl_capable: bool | None = None
    bootstrap_env: str | None = None
    security_env: str | None = None
    """The variable of the security protocol."""
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    mechanism_env: str | None = None
    username_env: str | None = None
    password_env: str | None = None
    ca_env: str | None = None
    topic_env: tuple[str, ...] = ()
    group_env: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    without_sasl: tuple[Evidence, ...] = ()
    """Constructors that pass no sign-in."""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape and the additional fields."""
        return {
            "needed": self.needed,
            "client": self.client,
            "sasl_capable": self.sasl_capable,
            "bootstrap_env": self.bootstrap_env,
            "security_env": self.security_env,
            "topics": list(self.topics),
            "groups": list(self.groups),
            "mechanism_env": self.mechanism_env,
            "username_env": self.username_env,
            "password_env": self.password_env,
            "ca_env": self.ca_env,
        }


@dataclass(frozen=True, slots=True)
class EnvName:
    """A variable that the code reads."""

    name: str
    services: tuple[str, ...]
    required: bool
    secret: bool
    build_time: bool
    default: str | None
    """The literal default; None: none, or not a literal."""
    evidence: tuple[Evidence, ...]
    purpose: Purpose = ""
    json_list: bool = False
    """Read by pydantic-settings into a list: the value must be JSON."""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape; a secret's default is not shown."""
        return {
            "name": self.name,
            "services": list(self.services),
            "required": self.required,
            "secret": self.secret,
            "build_time": self.build_time,
            "default": None if self.secret else self.default,
            "evidence": [e.to_json() for e in self.evidence],
        }


@dataclass(frozen=True, slots=True)
class Objection:
    """What preflight has to say about one place."""

    id: str
    blocking: bool
    message: str
    remedy: str
    file: str | None = None
    line: int | None = None
    when: str | None = None
    """The choice under which it blocks, e.g. ``broker.kind=sasl``."""
    handled: bool = False
    """The plan itself applies the remedy."""
    fixable: bool = False
    subject: str = ""
    """What the fix needs to know: a service, a name, a path."""

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape."""
        return {
            "id": self.id,
            "blocking": self.blocking,
            "when": self.when,
            "handled": self.handled,
            "fixable": self.fixable,
            "message": self.message,
            "remedy": self.remedy,
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What only the user can decide."""

    id: str
    """e.g. ``service.api``, ``service.web``, ``schema.method``."""
    text: str
    choices: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the contract's shape."""
        return {"id": self.id, "text": self.text, "choices": list(self.choices)}


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was read from a repository."""

    kind: Kind
    services: tuple[Service, ...] = ()
    database: Database = Database()
    broker: Broker = Broker()
    env: tuple[EnvName, ...] = ()
    problems: tuple[Objection, ...] = ()
    questions: tuple[Question, ...] = ()
    compose_files: tuple[str, ...] = ()
    fly_configs: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    """Real ``.env`` files, whose values may be read on consent."""
    env_examples: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Sentences about what was not read, and why."""
    notes: tuple[Evidence, ...] = ()
    """What is there and flywizard does not deploy: other languages, frameworks, engines; full sentences."""

    def service(self, role: Role) -> Service | None:
        """Return the first service of a role."""
        return next((s for s in self.services if s.role == role), None)

    def to_json(self) -> dict[str, Any]:
        """Return the object of ``inspect --json``."""
        return {
            "version": 1,
            "root": ".",
            "kind": self.kind,
            "services": [s.to_json() for s in self.services],
            "database": self.database.to_json(),
            "broker": self.broker.to_json(),
            "env": [e.to_json() for e in self.env],
            "problems": [p.to_json() for p in self.problems],
            "questions": [q.to_json() for q in self.questions],
            "skipped": list(self.skipped),
            "notes": [n.to_json() for n in self.notes],
        }
