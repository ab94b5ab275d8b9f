"""Owns reading one Python file through its syntax tree: applications, routes, variables, clients. Never imports it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from flywizard.project.sql import SqlFile
from flywizard.project.sql import read as read_sql

CONSUMERS = frozenset(
    {"AIOKafkaConsumer", "KafkaConsumer", "Consumer", "DeserializingConsumer", "AvroConsumer"}
)
PRODUCERS = frozenset(
    {
        "AIOKafkaProducer",
        "KafkaProducer",
        "Producer",
        "SerializingProducer",
        "AIOKafkaAdminClient",
        "KafkaAdminClient",
        "AdminClient",
        "KafkaBroker",
    }
)
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
DEEP_WORDS = re.compile(
    r"(?:^|_|\.)(?:db|database|pool|session|engine|conn|connection|producer|consumer|kafka|redis|cursor|execute|fetchval|ping)(?:$|_|\.)",
    re.IGNORECASE,
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
class KafkaUse:
    """One construction of a Kafka client."""

    constructor: str
    line: int
    sasl: bool | None
    """True: passes a sign-in. False: certainly none. None: cannot tell from this call alone."""
    consumer: bool
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    literal_bootstrap: str | None = None


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


@lru_cache(maxsize=512)
def read(path: str, text: str) -> PythonFile:
    """Read a Python file; pure, never raises: a file with a syntax error says so.

    Remembered, because a project is read again after each fix; nobody changes what it returns.
    """
    out = PythonFile(path)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        out.error, out.error_line = error.msg, error.lineno
        return out
    except (ValueError, RecursionError, MemoryError):
        out.error = "cannot be parsed"
        return out
    try:
        _Reader(out).read(tree)
    except RecursionError:
        out.error = "too deep"
    return out


def literal(node: ast.AST | None) -> str | None:
    """Return the text of a literal; a list as JSON; None for anything else."""
    import json

    match node:
        case ast.Constant(value=bool(value)):
            return "true" if value else "false"
        case ast.Constant(value=str() | int() | float() as value):
            return str(value)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            values = [e.value for e in elements if isinstance(e, ast.Constant)]
            return json.dumps(values) if len(values) == len(elements) else None
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
        case _:
            return ""


class _Reader:
    def __init__(self, out: PythonFile) -> None:
        self.out = out
        self.dicts: dict[str, ast.Dict] = {}

    def read(self, tree: ast.Module) -> None:
        self._top(tree)
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names):
                    self.out.imports += [(alias.name, node.lineno) for alias in names]
                case ast.ImportFrom(module=module, level=level, names=names):
                    base = "." * level + (module or "")
                    self.out.imports.append((base, node.lineno))
                    joined = base if base.endswith(".") else base + "."
                    self.out.imports += [(joined + alias.name, node.lineno) for alias in names]
                case ast.Assign(targets=[target], value=ast.Dict() as value):
                    self.dicts[dotted(target)] = value
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._function(node)
                case ast.ClassDef():
                    self._settings(node)
                case ast.Constant(value=str() as value):
                    self._text(value, node.lineno)
                case _:
                    pass
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Subscript) and dotted(node.value) in {"os.environ", "environ"}:
                name = literal(node.slice)
                if name and isinstance(node.ctx, ast.Load):
                    self.out.env.append(EnvRead(name, node.lineno, True))

    def _top(self, tree: ast.Module) -> None:
        for node in tree.body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=func))
                ) if dotted(func).rsplit(".", 1)[-1] == "FastAPI":
                    self.out.apps.append(AsgiApp(name, node.lineno))
                case ast.Expr(value=ast.Call()):
                    self.out.module_calls = True
                case ast.If(test=ast.Compare(left=left)) if dotted(left) == "__name__":
                    self.out.main_line = node.lineno
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.out.functions[name] = node.lineno
                    for inner in ast.walk(node):
                        if isinstance(inner, ast.Call) and dotted(inner.func).rsplit(".", 1)[-1] == "FastAPI":
                            if isinstance(node, ast.FunctionDef):
                                self.out.apps.append(AsgiApp(name, node.lineno, factory=True))
                            break
                case _:
                    pass

    def _text(self, value: str, line: int) -> None:
        if value in SASL_WORDS and value != "security":
            self.out.sasl_words = True
        scheme = re.match(
            r"(postgres(?:ql)?(?:\+\w+)?|mysql(?:\+\w+)?|asyncpg|psycopg|sqlite(?:\+\w+)?)://", value
        )
        if scheme:
            self.out.dsn.append((scheme[1], line))
        if re.search(r"create\s+extension", value, re.IGNORECASE):
            found = read_sql(self.out.path, "\n" * (line - 1) + value)
            self.out.sql.append(found)
        if value.startswith("text-embedding-") or value.startswith("all-MiniLM"):
            self.out.models.append(value)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
                continue
            if decorator.func.attr not in {"get", "api_route"} or not decorator.args:
                continue
            path = literal(decorator.args[0])
            if path is None or "{" in path:
                continue
            arguments = node.args.defaults + [d for d in node.args.kw_defaults if d is not None]
            deep = any(isinstance(n, ast.Await) for n in ast.walk(node)) or any(
                isinstance(n, ast.Call) and dotted(n.func).rsplit(".", 1)[-1] == "Depends"
                for a in arguments
                for n in ast.walk(a)
            )
            deep = deep or any(
                isinstance(n, ast.Call) and DEEP_WORDS.search(dotted(n.func))
                for s in node.body
                for n in ast.walk(s)
            )
            self.out.routes.append(Route(path, node.lineno, deep, dotted(decorator.func.value)))

    def _settings(self, node: ast.ClassDef) -> None:
        if not any(
            dotted(base).rsplit(".", 1)[-1] in {"BaseSettings", "BaseAppSettings"} for base in node.bases
        ):
            return
        prefix = ""
        for part in ast.walk(node):
            match part:
                case ast.keyword(arg="env_prefix", value=value):
                    prefix = literal(value) or ""
                case ast.Assign(targets=[ast.Name(id="env_prefix")], value=value):
                    prefix = literal(value) or ""
                case _:
                    pass
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            if item.target.id == "model_config" or "ClassVar" in ast.unparse(item.annotation):
                continue
            self._setting(item, item.target.id, prefix)

    def _setting(self, item: ast.AnnAssign, field_name: str, prefix: str) -> None:
        names = [(prefix + field_name).upper()]
        value: ast.expr | None = item.value
        required = value is None
        if isinstance(value, ast.Call) and dotted(value.func).rsplit(".", 1)[-1] == "Field":
            call = value
            words = {k.arg: k.value for k in call.keywords if k.arg}
            default = call.args[0] if call.args else words.get("default")
            required = "default_factory" not in words and (
                default is None or (isinstance(default, ast.Constant) and default.value is ...)
            )
            alias = words.get("validation_alias") or words.get("alias") or words.get("env")
            if isinstance(alias, ast.Call):
                names = [text for a in alias.args if (text := literal(a))] or names
            elif alias is not None:
                names = [literal(alias) or names[0]]
            value = default if not required else None
        elif isinstance(value, ast.Call) and dotted(value.func) in {"os.getenv", "os.environ.get", "getenv"}:
            return
        annotation = ast.unparse(item.annotation)
        json_list = bool(
            re.match(r"(?:typing\.)?(?:list|List|set|Set|tuple|Tuple|Sequence|dict|Dict)\b", annotation)
        )
        json_list = json_list and "NoDecode" not in annotation
        self.out.env.append(
            EnvRead(names[0], item.lineno, required, literal(value), json_list, tuple(names[1:]))
        )

    def _call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        last = name.rsplit(".", 1)[-1]
        words = {k.arg: k.value for k in node.keywords if k.arg}
        if name in {"os.getenv", "getenv", "os.environ.get", "environ.get"}:
            variable = literal(node.args[0]) if node.args else None
            if variable:
                default = node.args[1] if len(node.args) > 1 else words.get("default")
                self.out.env.append(EnvRead(variable, node.lineno, False, literal(default)))
        elif last in CONSUMERS | PRODUCERS or (last == "App" and name.startswith("faust")):
            self._kafka(node, last, words)
        elif last == "create_pool":
            size = literal(words.get("max_size"))
            self.out.pools.append((int(size) if size and size.isdigit() else 10, node.lineno))
        elif last in {"create_engine", "create_async_engine"}:
            size, more = literal(words.get("pool_size")) or "5", literal(words.get("max_overflow")) or "10"
            if size.isdigit() and more.isdigit() and "NullPool" not in ast.dump(node):
                self.out.pools.append((int(size) + int(more), node.lineno))
        elif last == "add_middleware" and node.args and dotted(node.args[0]).endswith("CORSMiddleware"):
            origins = words.get("allow_origins")
            literals = (
                tuple(text for e in origins.elts if (text := literal(e)) is not None)
                if isinstance(origins, ast.List | ast.Tuple)
                else None
            )
            self.out.cors = (literals, literal(words.get("allow_credentials")) == "true", node.lineno)
        elif last == "APIRouter" and "prefix" in words:
            for target in self._targets(node):
                self.out.prefixes[target] = literal(words["prefix"]) or ""
        elif last == "include_router" and node.args and "prefix" in words:
            self.out.prefixes["include:" + dotted(node.args[0])] = literal(words["prefix"]) or ""
        elif (
            last == "replace"
            and node.args
            and re.match(r"\+(asyncpg|psycopg)|postgres(ql)?(\+\w+)?://", literal(node.args[0]) or "")
        ):
            self.out.rewrites_scheme = node.lineno
        elif last == "run" and name == "uvicorn.run":
            port = literal(words.get("port"))
            self.out.run_port = (
                literal(words.get("host")),
                int(port) if port and port.isdigit() else None,
                node.lineno,
            )
        elif last == "Vector" and node.args and (size := literal(node.args[0])) and size.isdigit():
            self.out.dimensions.append((int(size), node.lineno))

    def _targets(self, call: ast.Call) -> Iterator[str]:
        # routers are nearly always called "router"; the exact name costs a parent map
        yield "router"

    def _kafka(self, node: ast.Call, last: str, words: dict[str, ast.expr]) -> None:
        modules = {m.split(".")[0] for m, _ in self.out.imports}
        if not modules & set(CLIENTS):
            return
        keys = set(words)
        unknown = any(k.arg is None for k in node.keywords)
        tables = [k.value for k in node.keywords if k.arg is None]
        if last in {
            "Consumer",
            "Producer",
            "AdminClient",
            "DeserializingConsumer",
            "SerializingProducer",
            "AvroConsumer",
        }:
            tables += node.args[:1]
            unknown = unknown or bool(node.args)
        bootstrap = words.get("bootstrap_servers")
        groups = [words.get("group_id")]
        for table in tables:
            found = table if isinstance(table, ast.Dict) else self.dicts.get(dotted(table))
            if found is None:
                continue
            names = [literal(k) if k is not None else None for k in found.keys]
            unknown = unknown and None in names
            keys |= {n for n in names if n}
            for key, value in zip(names, found.values, strict=True):
                if key == "group.id" or key == "group_id":
                    groups.append(value)
                elif key in {"bootstrap.servers", "bootstrap_servers"}:
                    bootstrap = value
        sasl: bool | None = True if keys & SASL_WORDS else None if unknown else False
        consumer = last in CONSUMERS
        topics = tuple(t for a in node.args if consumer and (t := literal(a)) and not t.startswith("["))
        self.out.kafka.append(
            KafkaUse(
                last,
                node.lineno,
                sasl,
                consumer,
                topics,
                tuple(t for g in groups if (t := literal(g))),
                literal(bootstrap),
            )
        )
