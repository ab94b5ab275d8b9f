"""Owns what preflight's late rules look for in one Python file: imports at start, calls that cannot work, fixed settings. Never imports it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from flywizard.project.python_source import dotted

CLIENTS = frozenset({"aiokafka", "confluent_kafka", "kafka", "faststream", "faust"})
CONSTRUCTORS = frozenset(
    [
        "AIOKafkaConsumer",
        "AIOKafkaProducer",
        "AIOKafkaAdminClient",
        "KafkaConsumer",
        "KafkaProducer",
        "KafkaAdminClient",
        "KafkaBroker",
        "Consumer",
        "Producer",
        "AdminClient",
        "DeserializingConsumer",
        "SerializingProducer",
        "AvroConsumer",
    ]
)

DIMENSIONS = {
    "text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536,
    "all-minilm-l6-v2": 384, "all-minilm-l12-v2": 384, "paraphrase-multilingual-minilm-l12-v2": 384,
    "all-mpnet-base-v2": 768, "bge-small-en-v1.5": 384, "bge-base-en-v1.5": 768, "bge-large-en-v1.5": 1024, "bge-m3": 1024,
    "e5-small-v2": 384, "e5-base-v2": 768, "e5-large-v2": 1024, "multilingual-e5-large": 1024,
    "nomic-embed-text": 768, "mxbai-embed-large": 1024, "mxbai-embed-large-v1": 1024, "embed-english-v3.0": 1024,
    "embed-multilingual-v3.0": 1024, "text-embedding-004": 768, "gte-small": 384, "gte-base": 768, "gte-large": 1024,
}  # fmt: skip
"""Embedding model, without its owner, to the length of its vectors."""

SCHEDULERS = frozenset(
    {
        "AsyncIOScheduler",
        "BackgroundScheduler",
        "BlockingScheduler",
        "Rocketry",
        "repeat_every",
        "crontab_loop",
    }
)
SECURITY = {
    "security_protocol": "protocol",
    "security.protocol": "protocol",
    "sasl_mechanism": "mechanism",
    "sasl.mechanism": "mechanism",
    "sasl.mechanisms": "mechanism",
}
_WORTH_A_WALK = re.compile(
    r"kafka|topic|faust|EmailStr|dockerenv|dimension|truncate_dim|create_task|ensure_future|run_in_executor|Thread|Process"
    r"|Scheduler|Rocketry|repeat_every|crontab|embed|minilm|mpnet|\b(bge|e5|gte)-",
    re.IGNORECASE,
)
_SENDS = frozenset({"send", "send_and_wait", "produce"})
_LOOKS_LIKE_WORK = re.compile(r"consum|worker|listen|subscri|process_message|poll", re.IGNORECASE)
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Import:
    """One absolute import that runs when the module is loaded."""

    module: str
    line: int


@dataclass(frozen=True, slots=True)
class Use:
    """A text and its line."""

    text: str
    line: int


@dataclass(slots=True)
class Traits:
    """What one file holds; lines from 1."""

    imports: list[Import] = field(default_factory=list)
    """Only those that always run when the module is loaded: not guarded, not in a function."""
    optional_kafka: Use | None = None
    """A Kafka client whose absence is caught: (module, line of the handler)."""
    silenced_start: Use | None = None
    """A failed start of a client that is caught and passed over."""
    bounded_retry: Use | None = None
    """A loop that tries to start a client a fixed number of times: (the bound, line)."""
    email: int | None = None
    """The first use of ``EmailStr``."""
    models: list[Use] = field(default_factory=list)
    """Embedding models by name."""
    shortened: bool = False
    """A ``dimensions=`` or ``truncate_dim=`` changes the length."""
    security: list[tuple[str, str, int]] = field(default_factory=list)
    """(protocol or mechanism, the literal, line) of a Kafka client."""
    constants: dict[str, str] = field(default_factory=dict)
    """Names of upper-case constants and class attributes to their literals."""
    sends: list[tuple[str, int]] = field(default_factory=list)
    """(token, line); ``"text`` for a literal, a name, or empty where unknown."""
    consumes: list[tuple[str, int]] = field(default_factory=list)
    tasks: list[Use] = field(default_factory=list)
    """Functions that are started beside the server."""
    schedulers: list[Use] = field(default_factory=list)
    docker_file: int | None = None
    """A look at ``/.dockerenv``."""


@lru_cache(maxsize=4096)
def read(text: str) -> Traits:
    """Read a Python text; pure, never raises; a text that cannot be parsed has no traits."""
    out = Traits()
    try:
        module = ast.parse(text)
        _imports(out, module.body, guarded=False)
        if _WORTH_A_WALK.search(text):
            _walk(out, module)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Traits()
    return out


@lru_cache(maxsize=512)
def broken(text: str) -> tuple[Use, ...]:
    """Return the calls in a Python text that cannot work, in words; pure, never raises."""
    out: list[Use] = []
    try:
        _broken(out, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(out)


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _imports(out: Traits, body: list[ast.stmt], *, guarded: bool) -> None:
    for node in body:
        match node:
            case ast.Import(names=names) if not guarded:
                out.imports += [Import(alias.name, node.lineno) for alias in names]
            case ast.ImportFrom(module=str() as name, level=0) if not guarded:
                out.imports.append(Import(name, node.lineno))
            case ast.Try():
                catches = any(_catches(h) for h in node.handlers)
                _imports(out, node.body, guarded=guarded or catches)
                if catches:
                    _optional(out, node)
                _imports(out, node.finalbody, guarded=guarded)
            case ast.With():
                suppresses = "suppress" in ast.dump(node.items[0]) if node.items else False
                _imports(out, node.body, guarded=guarded or suppresses)
            case ast.ClassDef():
                _imports(out, node.body, guarded=guarded)
            case _:
                pass


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(t).rsplit(".", 1)[-1] in _IMPORT_ERRORS for t in types)


def _optional(out: Traits, node: ast.Try) -> None:
    for part in node.body:
        names = (
            [a.name for a in part.names]
            if isinstance(part, ast.Import)
            else [part.module or ""]
            if isinstance(part, ast.ImportFrom)
            else []
        )
        for name in names:
            if name.split(".")[0] in CLIENTS and not any(_ends(h.body) for h in node.handlers):
                others = {n.split(".")[0] for h in node.handlers for n in _imported(h)}
                if not others & set(CLIENTS):
                    out.optional_kafka = out.optional_kafka or Use(
                        name.split(".")[0], node.handlers[0].lineno
                    )


def _imported(handler: ast.ExceptHandler) -> Iterator[str]:
    for node in ast.walk(handler):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _ends(body: list[ast.stmt]) -> bool:
    """Tell whether a handler passes the failure on, or ends the process."""
    for node in (n for s in body for n in ast.walk(s)):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call) and dotted(node.func) in {
            "sys.exit",
            "exit",
            "os._exit",
            "quit",
            "raise_",
        }:
            return True
    return False


def _walk(out: Traits, module: ast.Module) -> None:
    kafka = any(
        (isinstance(n, ast.Import) and any(a.name.split(".")[0] in CLIENTS for a in n.names))
        or (isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] in CLIENTS)
        for n in ast.walk(module)
    )
    email_names = {
        a.asname or a.name
        for n in ast.walk(module)
        if isinstance(n, ast.ImportFrom) and n.module == "pydantic"
        for a in n.names
        if a.name == "EmailStr"
    }
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in email_names:
                out.email = min(out.email or node.lineno, node.lineno)
            case ast.Attribute(attr="EmailStr") if dotted(node) == "pydantic.EmailStr":
                out.email = min(out.email or node.lineno, node.lineno)
            case ast.Constant(value=str() as value):
                name = value.rsplit("/", 1)[-1].lower()
                if name in DIMENSIONS:
                    out.models.append(Use(value, node.lineno))
                if value == "/.dockerenv":
                    out.docker_file = out.docker_file or node.lineno
            case ast.Assign(targets=[target], value=ast.Constant(value=str() as value)):
                name = dotted(target).rsplit(".", 1)[-1]
                if name.isupper():
                    out.constants[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str() as value)) if (
                name.isupper()
            ):
                out.constants[name] = value
            case ast.Call():
                _call(out, node, kafka)
            case ast.Dict() if kafka:
                for key, item in zip(node.keys, node.values, strict=True):
                    _secured(out, _text(key) or "", item)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for decorator in node.decorator_list:
                    called = decorator.func if isinstance(decorator, ast.Call) else decorator
                    name = dotted(called).rsplit(".", 1)[-1]
                    if name in SCHEDULERS:
                        out.schedulers.append(Use(name, decorator.lineno))
            case ast.Try() if kafka:
                _starts(out, node)
            case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=arguments)) if kafka:
                started = any(_is_start(n) for n in ast.walk(node))
                tried = any(isinstance(n, ast.Try) for n in ast.walk(node))
                if started and tried and out.bounded_retry is None:
                    out.bounded_retry = Use(ast.unparse(arguments[-1]) if arguments else "?", node.lineno)
            case _:
                pass


def _secured(out: Traits, key: str, value: ast.expr) -> None:
    kind = SECURITY.get(key)
    literal = _text(value)
    if kind and literal:
        out.security.append((kind, literal.upper(), value.lineno))


def _token(node: ast.expr | None) -> str:
    if node is None:
        return ""
    literal = _text(node)
    if literal is not None:
        return '"' + literal
    return dotted(node).rsplit(".", 1)[-1]


def _call(out: Traits, node: ast.Call, kafka: bool) -> None:
    name = dotted(node.func)
    last = name.rsplit(".", 1)[-1]
    words = {k.arg: k.value for k in node.keywords if k.arg}
    if words.keys() & {"dimensions", "truncate_dim", "output_dimensionality"}:
        out.shortened = True
    if last in SCHEDULERS:
        out.schedulers.append(Use(last, node.lineno))
    if last in {"create_task", "ensure_future", "Thread", "Process", "run_in_executor"}:
        target = words.get("target") or (
            node.args[1]
            if last == "run_in_executor" and len(node.args) > 1
            else node.args[0]
            if node.args
            else None
        )
        called = target.func if isinstance(target, ast.Call) else target
        started = dotted(called) if called is not None else ""
        if started:
            out.tasks.append(Use(started, node.lineno))
    if not kafka:
        return
    if last in CONSTRUCTORS:
        for key, value in words.items():
            _secured(out, key, value)
    if last in {"AIOKafkaConsumer", "KafkaConsumer"}:
        if any(isinstance(a, ast.Starred) for a in node.args):
            out.consumes.append(("", node.lineno))
        out.consumes += [(_token(a), node.lineno) for a in node.args if not isinstance(a, ast.Starred)]
    elif last == "subscribe" and isinstance(node.func, ast.Attribute):
        argument = node.args[0] if node.args else words.get("topics")
        elements = argument.elts if isinstance(argument, ast.List | ast.Tuple) else [argument]
        out.consumes += [(_token(e), node.lineno) for e in elements]
    elif last in _SENDS and isinstance(node.func, ast.Attribute):
        out.sends.append((_token(words.get("topic") or (node.args[0] if node.args else None)), node.lineno))


def _is_start(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "start"
        and not node.args
    )


def _starts(out: Traits, node: ast.Try) -> None:
    """Note a start of a client whose failure is only logged, with something switched off."""
    starts = any(_is_start(n) for s in node.body for n in ast.walk(s))
    loops = any(isinstance(n, ast.While | ast.For | ast.AsyncFor) for s in node.body for n in ast.walk(s))
    if not starts or loops or out.silenced_start:
        return
    for handler in node.handlers:
        if not _catches(handler) and "Kafka" not in ast.dump(handler.type or ast.Pass()):
            continue
        if _ends(handler.body):
            continue
        off = any(
            isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant) and n.value.value in (None, False)
            for s in handler.body
            for n in ast.walk(s)
        )
        if off:
            out.silenced_start = Use("start", handler.lineno)


def _broken(out: list[Use], module: ast.Module) -> None:
    coroutines = {
        n.name
        for n in module.body
        if isinstance(n, ast.AsyncFunctionDef) and not _generates(n) and not n.decorator_list
    }
    coroutines -= {n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    shadowed = {dotted(t) for n in ast.walk(module) if isinstance(n, ast.Assign) for t in n.targets}
    shadowed |= {n.arg for n in ast.walk(module) if isinstance(n, ast.arg)}
    for statement in _plain_statements(module.body):
        if isinstance(statement.value, ast.Call) and isinstance(statement.value.func, ast.Name):
            name = statement.value.func.id
            if name in coroutines and name not in shadowed:
                out.append(Use(f"`{name}()` is asynchronous and never awaited", statement.lineno))
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            _class(out, node)


def _plain_statements(body: list[ast.stmt]) -> Iterator[ast.Expr]:
    """Yield the expression statements of a module and of everything in it."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Expr):
                yield node


def _generates(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(node))


def _class(out: list[Use], node: ast.ClassDef) -> None:
    """Note calls of methods that a class without bases does not have, and of its coroutines without ``await``."""
    methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    if (
        node.bases
        or node.keywords
        or node.decorator_list
        or {"__getattr__", "__getattribute__"} & set(methods)
    ):
        return
    known = set(methods) | set(dir(object)) | {"__dict__"}
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr, ctx=ast.Store() | ast.Del()):
                known.add(attr)
            case ast.Call(func=ast.Name(id="setattr" | "vars")) | ast.Attribute(attr="__dict__"):
                return
            case _:
                pass
    for inner in node.body:
        if isinstance(inner, ast.Assign):
            known |= {dotted(t) for t in inner.targets}
        elif isinstance(inner, ast.AnnAssign):
            known.add(dotted(inner.target))
        elif isinstance(inner, ast.ClassDef):
            known.add(inner.name)
    for method in methods.values():
        own = method.args.args[0].arg if method.args.args else ""
        if own != "self" or any(isinstance(n, ast.ClassDef) for n in ast.walk(method)):
            continue
        for inner in ast.walk(method):
            match inner:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr)) if attr not in known:
                    out.append(Use(f"`{node.name}` has no method `{attr}`", inner.lineno))
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr))) if (
                    isinstance(methods.get(attr), ast.AsyncFunctionDef)
                    and not _generates(methods[attr])
                    and not methods[attr].decorator_list
                ):
                    out.append(Use(f"`self.{attr}()` is asynchronous and never awaited", inner.lineno))
                case _:
                    pass


def looks_like_work(name: str) -> bool:
    """Tell whether a function's name is one of a consumer loop."""
    return bool(_LOOKS_LIKE_WORK.search(name))
