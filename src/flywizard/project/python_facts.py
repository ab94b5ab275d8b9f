"""Owns what is read from one Python file: the values, and the small helpers on syntax trees."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field

from flywizard.project.sql import SqlFile

CLIENTS = {
    "aiokafka": "aiokafka",
    "confluent_kafka": "confluent-kafka",
    "kafka": "kafka-python",
    "faststream": "faststream",
    "faust": "faust",
}
SASL_WORDS = frozenset(
    [
        "security_protocol",
        "security.protocol",
        "sasl_mechanism",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl_plain_username",
        "sasl.username",
        "broker_credentials",
        "security",
        "sasl_mechanisms",
        "sasl_plain_password",
        "sasl.password",
    ]
)


@dataclass(frozen=True, slots=True)
class EnvRead:
    """One variable read."""

    name: str
    line: int
    required: bool
    default: str | None = None
    json_list: bool = False
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AsgiApp:
    """A FastAPI application: a module-level name, or a function that makes one."""

    name: str
    line: int
    factory: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A GET route without parameters in its path."""

    path: str
    line: int
    deep: bool
    owner: str


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of a dictionary, or of what a function returns."""

    keys: frozenset[str] = frozenset()
    spreads: tuple[str, ...] = ()
    """Names of other dictionaries or functions that it takes in."""
    open: bool = False
    """It holds more that cannot be named."""
    plaintext: bool = False
    """Its security protocol is the literal PLAINTEXT."""


@dataclass(frozen=True, slots=True)
class KafkaUse:
    """One construction of a Kafka client."""

    constructor: str
    line: int
    sasl: bool | None
    """True: passes a sign-in. False: certainly none. None: cannot tell from this file alone."""
    consumer: bool
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    literal_bootstrap: str | None = None
    table: Table = Table()
    topic_names: tuple[str, ...] = ()
    """Names of topics that are constants elsewhere."""
    wrapper: str = ""
    """The function or class whose ``**`` arguments it passes on."""


@dataclass(slots=True)
class PythonFile:
    """What one file holds; lines from 1."""

    path: str
    error: str | None = None
    error_line: int | None = None
    imports: list[tuple[str, int]] = field(default_factory=list)
    """Dotted module, and for ``from m import n`` also ``m.n``; relative ones with leading dots."""
    apps: list[AsgiApp] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    prefixes: dict[str, str] = field(default_factory=dict)
    """Router variable to its prefix."""
    env: list[EnvRead] = field(default_factory=list)
    kafka: list[KafkaUse] = field(default_factory=list)
    messages: list[KafkaUse] = field(default_factory=list)
    """Subscriptions and sends: their topics, not their sign-in."""
    sasl_words: bool = False
    main_line: int | None = None
    module_calls: bool = False
    functions: dict[str, int] = field(default_factory=dict)
    pools: list[tuple[int, int]] = field(default_factory=list)
    """(connections, line)."""
    dsn: list[tuple[str, int]] = field(default_factory=list)
    """(scheme, line) of literal database URLs."""
    rewrites_scheme: int | None = None
    cors: tuple[tuple[str, ...] | None, bool, int] | None = None
    """(literal origins or None, credentials, line)."""
    sql: list[SqlFile] = field(default_factory=list)
    run_port: tuple[str | None, int | None, int] | None = None
    """(host, port, line) of ``uvicorn.run``."""
    dimensions: list[tuple[int, int]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    run_app: str | None = None
    """``module:object`` that ``uvicorn.run`` is given as text."""
    run_port_name: str | None = None
    """The variable or setting that holds the port of ``uvicorn.run``."""
    run_function: str | None = None
    """The function that ``uvicorn.run`` is called in; None: the module itself."""
    made: dict[str, str] = field(default_factory=dict)
    """Module-level name to the function whose result it is."""
    values: dict[str, EnvRead] = field(default_factory=dict)
    """Variable or settings field to what it reads."""
    constants: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    """Dictionaries and functions that return one, by their last name."""
    calls: dict[str, frozenset[str]] = field(default_factory=dict)
    """Called name to the keywords it is given anywhere in the file (``**`` for unknown ones)."""
    loops: int | None = None
    """Line of an endless loop, or of ``async for`` over a consumer."""
    includes: list[tuple[str, str, str]] = field(default_factory=list)
    """(owner, router, prefix) of ``include_router``."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Local name to the dotted name that was imported under it."""
    mounts: list[str] = field(default_factory=list)
    """Names of applications that are mounted into another."""
    scheduler: int | None = None
    """Line of a scheduler that is made or started."""
    exits: tuple[tuple[str, int], ...] = ()


def literal(node: ast.AST | None) -> str | None:
    """Return the text of a literal; a list as JSON; None for anything else."""
    match node:
        case ast.Constant(value=bool(value)):
            return "true" if value else "false"
        case ast.Constant(value=str() | int() | float() as value):
            return str(value)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            values = [e.value for e in elements if isinstance(e, ast.Constant)]
            try:
                return json.dumps(values) if len(values) == len(elements) else None
            except TypeError:
                return None
        case ast.Call(func=ast.Name(id="int" | "str" | "float" | "bool"), args=[inner]):
            return literal(inner)
        case _:
            return None


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` of a name or attribute chain, else an empty text."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            head = dotted(value)
            return f"{head}.{attr}" if head else attr
        case ast.Call(func=func):
            return dotted(func)
        case _:
            return ""


def last_name(node: ast.AST) -> str:
    """Return the last part of a name or attribute chain."""
    return dotted(node).rsplit(".", 1)[-1]
