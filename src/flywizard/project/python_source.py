"""Owns reading one Python file through its syntax tree: applications, routes, variables, clients. Never imports it."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from flywizard.project.python_facts import (
    CLIENTS,
    SASL_WORDS,
    AsgiApp,
    EnvRead,
    KafkaUse,
    PythonFile,
    Route,
    dotted,
    last_name,
    literal,
)
from flywizard.project.python_kafka import CONSUMERS, PRODUCERS, read_kafka
from flywizard.project.python_settings import read_settings
from flywizard.project.sql import read as read_sql

__all__ = [
    "CLIENTS",
    "CONSUMERS",
    "PRODUCERS",
    "AsgiApp",
    "EnvRead",
    "KafkaUse",
    "PythonFile",
    "Route",
    "dotted",
    "literal",
    "read",
]

DEEP_WORDS = re.compile(
    r"(?:^|_|\.)(?:db|database|pool|session|engine|conn|connection|producer|consumer|kafka|redis|cursor|execute|fetchval|ping)(?:$|_|\.)",
    re.IGNORECASE,
)
_SCHEDULERS = frozenset(
    {"AsyncIOScheduler", "BackgroundScheduler", "BlockingScheduler", "Rocketry", "run_pending"}
)


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


class _Reader:
    def __init__(self, out: PythonFile) -> None:
        self.out = out

    def read(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        self._imports(nodes)
        self._top(tree.body, main=False)
        for node in nodes:
            match node:
                case (
                    ast.Assign(targets=[target], value=ast.Constant(value=str() as value))
                    | ast.AnnAssign(target=target, value=ast.Constant(value=str() as value))
                ):
                    self.out.constants[last_name(target)] = value
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys, values=values)):
                    for key, item in zip(keys, values, strict=True):
                        if key is not None and (text := literal(item)) is not None:
                            self.out.constants[f"{name}.{literal(key)}"] = text
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._function(node)
                case ast.Constant(value=str() as value):
                    self._text(value, node.lineno)
                case ast.While(test=test) if not isinstance(test, ast.Compare):
                    self.out.loops = self.out.loops or node.lineno
                case ast.AsyncFor():
                    self.out.loops = self.out.loops or node.lineno
                case _:
                    pass
        read_settings(nodes, self.out)
        for node in nodes:
            match node:
                case ast.Assign(targets=[target], value=ast.Call(func=func, keywords=given)) if (
                    last_name(func) == "APIRouter"
                ):
                    for word in given:
                        if word.arg == "prefix":
                            self.out.prefixes[last_name(target)] = self._string(word.value)
                case _:
                    pass
            if isinstance(node, ast.Call):
                self._call(node)
        read_kafka(nodes, self.out)

    def _imports(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            match node:
                case ast.Import(names=names):
                    self.out.imports += [(alias.name, node.lineno) for alias in names]
                case ast.ImportFrom(module=module, level=level, names=names):
                    base = "." * level + (module or "")
                    self.out.imports.append((base, node.lineno))
                    joined = base if base.endswith(".") else base + "."
                    self.out.imports += [(joined + alias.name, node.lineno) for alias in names]
                    for alias in names:
                        self.out.aliases[alias.asname or alias.name] = joined + alias.name
                case _:
                    pass

    def _top(self, body: list[ast.stmt], main: bool) -> None:
        for node in body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=func))
                ):
                    if last_name(func) == "FastAPI":
                        self.out.apps.append(AsgiApp(name, node.lineno))
                    elif not main:
                        self.out.made[name] = dotted(func)
                case ast.Expr(value=ast.Call() | ast.Await()):
                    self.out.module_calls = True
                case ast.If(test=ast.Compare(left=left), body=inner) if dotted(left) == "__name__":
                    self.out.main_line = node.lineno
                    calls, self.out.module_calls = self.out.module_calls, False
                    self._top(inner, main=True)
                    self.out.module_calls = calls
                case ast.If(body=inner, orelse=other):
                    self._top([*inner, *other], main)
                case ast.Try(body=inner, handlers=handlers, orelse=other):
                    self._top([*inner, *(s for h in handlers for s in h.body), *other], main)
                case ast.With(body=inner):
                    self._top(inner, main)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.out.functions[name] = node.lineno
                    self._top_function(node)
                case _:
                    pass

    def _top_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        returned = {last_name(n.value) for n in ast.walk(node) if isinstance(n, ast.Return) and n.value}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and dotted(inner.func) == "uvicorn.run":
                self.out.run_function = node.name
            made = isinstance(inner, ast.Call) and last_name(inner.func) == "FastAPI"
            if made and returned and isinstance(node, ast.FunctionDef):
                self.out.apps.append(AsgiApp(node.name, node.lineno, factory=True))
                break

    def _text(self, value: str, line: int) -> None:
        if value in SASL_WORDS and value != "security":
            self.out.sasl_words = True
        scheme = re.match(
            r"(postgres(?:ql)?(?:\+\w+)?|mysql(?:\+\w+)?|mariadb(?:\+\w+)?|asyncpg|psycopg|sqlite(?:\+\w+)?)://",
            value,
        ) or re.fullmatch(r"((?:postgres(?:ql)?|mysql)\+\w+)", value)
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
            if decorator.func.attr not in {"get", "api_route", "head"}:
                continue
            given = decorator.args[0] if decorator.args else None
            given = given or next((k.value for k in decorator.keywords if k.arg == "path"), None)
            path = literal(given)
            if path is None or "{" in path:
                continue
            arguments = node.args.defaults + [d for d in node.args.kw_defaults if d is not None]
            deep = any(isinstance(n, ast.Await) for n in ast.walk(node)) or any(
                isinstance(n, ast.Call) and last_name(n.func) == "Depends"
                for a in arguments
                for n in ast.walk(a)
            )
            deep = deep or any(
                isinstance(n, ast.Call) and DEEP_WORDS.search(dotted(n.func))
                for s in node.body
                for n in ast.walk(s)
            )
            self.out.routes.append(Route(path, node.lineno, deep, dotted(decorator.func.value)))

    def _call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        last = name.rsplit(".", 1)[-1]
        words = {k.arg: k.value for k in node.keywords if k.arg}
        if last:
            given = {k.arg or "**" for k in node.keywords}
            self.out.calls[last] = self.out.calls.get(last, frozenset()) | given
        if last == "create_pool" or (
            last in {"AsyncConnectionPool", "ConnectionPool"} and "redis" not in name
        ):
            size = literal(words.get("max_size")) or literal(words.get("maxconn"))
            self.out.pools.append((int(size) if size and size.isdigit() else 10, node.lineno))
        elif last in {"create_engine", "create_async_engine"}:
            self._engine(node, words)
        elif last == "add_middleware" and node.args and dotted(node.args[0]).endswith("CORSMiddleware"):
            origins = words.get("allow_origins")
            literals = (
                tuple(text for e in origins.elts if (text := literal(e)) is not None)
                if isinstance(origins, ast.List | ast.Tuple)
                else None
            )
            self.out.cors = (literals, literal(words.get("allow_credentials")) == "true", node.lineno)
        elif last == "include_router" and (node.args or "router" in words):
            router = dotted(node.args[0] if node.args else words["router"])
            prefix = self._string(words["prefix"]) if "prefix" in words else ""
            self.out.includes.append((name.rpartition(".")[0], router, prefix))
        elif last == "mount" and (len(node.args) > 1 or "app" in words):
            self.out.mounts.append(dotted(node.args[1] if len(node.args) > 1 else words["app"]))
        elif (
            last == "replace"
            and node.args
            and re.match(r"\+(asyncpg|psycopg)|postgres(ql)?(\+\w+)?:(//)?$", literal(node.args[0]) or "")
        ):
            self.out.rewrites_scheme = node.lineno
        elif name == "uvicorn.run" or (last == "Config" and name.startswith("uvicorn.")):
            self._run(node, words)
        elif last in _SCHEDULERS:
            self.out.scheduler = node.lineno
        elif last == "Vector" and node.args and (size := literal(node.args[0])) and size.isdigit():
            self.out.dimensions.append((int(size), node.lineno))

    def _string(self, node: ast.expr) -> str:
        known = self.out.values.get(last_name(node))
        return (
            literal(node)
            or self.out.constants.get(last_name(node))
            or (known.default if known and known.default else "")
        )

    def _engine(self, node: ast.Call, words: dict[str, ast.expr]) -> None:
        size = self._number(words["pool_size"]) if "pool_size" in words else "5"
        more = self._number(words["max_overflow"]) if "max_overflow" in words else "10"
        if size and more and "NullPool" not in ast.dump(node):
            self.out.pools.append((int(size) + int(more), node.lineno))

    def _number(self, node: ast.AST | None) -> str | None:
        """Return a number that is written here, or the default of the variable that holds it."""
        if isinstance(node, ast.Call) and last_name(node.func) in {"int", "float"} and node.args:
            node = node.args[0]
        text = literal(node)
        if text is None and isinstance(node, ast.Call) and len(node.args) > 1:
            text = literal(node.args[1])
        if text is None and node is not None:
            known = self.out.values.get(last_name(node))
            text = known.default if known else self.out.constants.get(last_name(node))
        return text if text and text.isdigit() else None

    def _run(self, node: ast.Call, words: dict[str, ast.expr]) -> None:
        given = words.get("port") or (node.args[2] if len(node.args) > 2 else None)
        port = self._number(given)
        host = words.get("host") or (node.args[1] if len(node.args) > 1 else None)
        known = self.out.values.get(last_name(host)) if host is not None else None
        self.out.run_port = (
            literal(host) or (known.default if known else None) or (dotted(host) or "?" if host else None),
            int(port) if port else None,
            node.lineno,
        )
        if given is not None and port is None:
            self.out.run_port_name = last_name(given)
        application = literal(node.args[0] if node.args else words.get("app"))
        if application and re.match(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", application):
            self.out.run_app = application
            self.out.imports.append((application.split(":")[0], node.lineno))
