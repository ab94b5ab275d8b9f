"""Owns the variables that a Python file reads: settings classes, ``os.environ``, decouple, environs, own helpers."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flywizard.project.python_facts import EnvRead, PythonFile, dotted, last_name, literal

_GETTERS = frozenset({"os.getenv", "getenv", "os.environ.get", "environ.get"})
_ENVIRON = frozenset({"os.environ", "environ"})
_CASTS = frozenset(
    {
        "str",
        "int",
        "bool",
        "float",
        "list",
        "json",
        "url",
        "path",
        "decimal",
        "date",
        "timedelta",
        "dict",
        "enum",
    }
)
_CONTAINER = re.compile(r"(?:typing\.)?(?:list|List|set|Set|tuple|Tuple|Sequence|dict|Dict|frozenset)\b")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    names: tuple[str, ...]
    """Aliases; empty: the field's own name."""
    line: int
    required: bool
    default: str | None
    annotation: str
    own: bool
    """It reads the environment itself (``os.getenv``)."""


@dataclass(frozen=True, slots=True)
class _Helper:
    required: bool
    default: str | None
    second: bool
    """Its second argument is a default."""


def read_settings(nodes: Sequence[ast.AST], out: PythonFile) -> None:
    """Add to ``out`` the variables read anywhere, and which name holds which."""
    classes = {n.name: n for n in nodes if isinstance(n, ast.ClassDef)}
    kinds = _settings_classes(classes)
    for name in classes:
        if name in kinds:
            _class(name, classes, kinds, out)
    _reads(nodes, out)


def _settings_classes(classes: dict[str, ast.ClassDef]) -> set[str]:
    found: set[str] = set()
    for _round in range(4):
        for name, node in classes.items():
            bases = [last_name(b) for b in node.bases]
            if any(
                b in found or (b not in classes and re.search(r"^BaseSettings$|[a-z]Settings$", b))
                for b in bases
            ):
                found.add(name)
    return found


def _class(name: str, classes: dict[str, ast.ClassDef], kinds: set[str], out: PythonFile) -> None:
    node = classes[name]
    prefix, delimiter = _configuration(node, classes)
    for field in _fields(node):
        if field.own:
            continue
        parts = re.findall(r"\w+", field.annotation)
        if any(p in kinds for p in parts):
            continue
        nested = next((classes[p] for p in parts if p in classes), None)
        if nested is not None and delimiter:
            outer = (prefix + field.name).upper()
            for inner in _fields(nested):
                found = EnvRead(
                    f"{outer}{delimiter}{inner.name}".upper(),
                    inner.line,
                    inner.required and field.required,
                    inner.default,
                )
                out.env.append(found)
                out.values[inner.name] = found
            continue
        names = field.names or ((prefix + field.name).upper(),)
        json_list = bool(_CONTAINER.match(field.annotation)) and "NoDecode" not in field.annotation
        found = EnvRead(names[0], field.line, field.required, field.default, json_list, names[1:])
        out.env.append(found)
        out.values[field.name] = found


def _configuration(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> tuple[str, str]:
    """Return (env_prefix, env_nested_delimiter), from a base where the class has none."""
    prefix = delimiter = None
    for part in ast.walk(node):
        match part:
            case (
                ast.keyword(arg="env_prefix", value=value)
                | ast.Assign(targets=[ast.Name(id="env_prefix")], value=value)
            ):
                prefix = literal(value)
            case (
                ast.keyword(arg="env_nested_delimiter", value=value)
                | ast.Assign(targets=[ast.Name(id="env_nested_delimiter")], value=value)
            ):
                delimiter = literal(value)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if key is not None and literal(key) == "env_prefix":
                        prefix = literal(value)
                    elif key is not None and literal(key) == "env_nested_delimiter":
                        delimiter = literal(value)
            case _:
                pass
    for base in node.bases:
        parent = classes.get(last_name(base))
        if parent is not None and parent is not node and (prefix is None or delimiter is None):
            above = _configuration(parent, {k: v for k, v in classes.items() if k != node.name})
            prefix = above[0] if prefix is None else prefix
            delimiter = above[1] if delimiter is None else delimiter
    return prefix or "", delimiter or ""


def _fields(node: ast.ClassDef) -> list[_Field]:
    out: list[_Field] = []
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        name = item.target.id
        annotation = ast.unparse(item.annotation)
        if name == "model_config" or name.startswith("_") or "ClassVar" in annotation:
            continue
        out.append(_field(item, name, annotation))
    return out


def _field(item: ast.AnnAssign, name: str, annotation: str) -> _Field:
    value: ast.expr | None = item.value
    names: tuple[str, ...] = ()
    required = value is None
    if isinstance(value, ast.Call) and last_name(value.func) == "Field":
        call = value
        words = {k.arg: k.value for k in call.keywords if k.arg}
        default = call.args[0] if call.args else words.get("default")
        required = "default_factory" not in words and (
            default is None or (isinstance(default, ast.Constant) and default.value is ...)
        )
        names = _aliases(words.get("validation_alias") or words.get("alias") or words.get("env"))
        value = default if not required else None
    for part in ast.walk(item.annotation):
        if isinstance(part, ast.Call) and last_name(part.func) == "Field":
            words = {k.arg: k.value for k in part.keywords if k.arg}
            names = names or _aliases(words.get("validation_alias") or words.get("alias"))
            required = required and "default" not in words and "default_factory" not in words
    own = value is not None and any(
        dotted(n.func) in _GETTERS for n in ast.walk(value) if isinstance(n, ast.Call)
    )
    return _Field(name, names, item.lineno, required, literal(value), annotation, own)


def _aliases(alias: ast.expr | None) -> tuple[str, ...]:
    if alias is None:
        return ()
    parts = alias.args if isinstance(alias, ast.Call) else [alias]
    if isinstance(alias, ast.List | ast.Tuple):
        parts = alias.elts
    found = [text for a in parts if (text := literal(a)) and _NAME.match(text)]
    return tuple(t.upper() if t.islower() else t for t in found)


def _reads(nodes: Sequence[ast.AST], out: PythonFile) -> None:
    callables = _callables(nodes)
    helpers = _helpers(nodes)
    otherwise = {
        id(n.values[0]): literal(n.values[-1])
        for n in nodes
        if isinstance(n, ast.BoolOp) and isinstance(n.op, ast.Or)
    }
    refused = _refused(nodes)
    by_call: dict[int, EnvRead] = {}
    for node in nodes:
        found: EnvRead | None = None
        if isinstance(node, ast.Call):
            found = _call(node, callables, helpers)
            if found is not None and found.default in (None, "") and otherwise.get(id(node)):
                found = replace(found, default=otherwise[id(node)], required=False)
        elif isinstance(node, ast.Subscript) and dotted(node.value) in _ENVIRON:
            name = literal(node.slice)
            if name and _NAME.match(name) and isinstance(node.ctx, ast.Load):
                found = EnvRead(name, node.lineno, True)
        if found is not None:
            by_call[id(node)] = found
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            inner = [n for n in ast.walk(node.value) if id(n) in by_call]
            if len(inner) == 1:
                name = last_name(targets[0])
                if name in refused and by_call[id(inner[0])].default in (None, ""):
                    by_call[id(inner[0])] = replace(by_call[id(inner[0])], required=True, default=None)
                out.values.setdefault(name, by_call[id(inner[0])])
    out.env += by_call.values()


def _refused(nodes: Sequence[ast.AST]) -> set[str]:
    """Return the names whose absence raises or exits (``if not NAME: raise``)."""
    out: set[str] = set()
    for node in nodes:
        if not isinstance(node, ast.If):
            continue
        stops = any(
            isinstance(n, ast.Raise) or (isinstance(n, ast.Call) and dotted(n.func) in {"sys.exit", "exit"})
            for s in node.body
            for n in ast.walk(s)
        )
        if stops:
            for part in ast.walk(node.test):
                match part:
                    case ast.UnaryOp(op=ast.Not(), operand=ast.Name() | ast.Attribute() as value):
                        out.add(last_name(value))
                    case ast.Compare(left=value, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                        out.add(last_name(value))
                    case _:
                        pass
    return out


def _callables(nodes: Sequence[ast.AST]) -> dict[str, str]:
    """Return names that read a variable when called: name → library."""
    out: dict[str, str] = {}
    classes: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                local = alias.asname or alias.name
                if node.module == "decouple" and alias.name == "config":
                    out[local] = "decouple"
                elif node.module in {"decouple", "starlette.config"} and alias.name == "Config":
                    classes[local] = "decouple" if node.module == "decouple" else "starlette"
                elif node.module in {"environs", "environ"} and alias.name in {"Env", "FileAwareEnv"}:
                    classes[local] = "environs"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in {"environ", "environs"}:
                    classes[f"{alias.asname or alias.name}.Env"] = "environs"
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = dotted(node.value.func)
            if made in classes:
                out[dotted(node.targets[0])] = classes[made]
    return out


def _helpers(nodes: Sequence[ast.AST]) -> dict[str, _Helper]:
    """Return the functions of the file that read the variable named by their first argument."""
    out: dict[str, _Helper] = {}
    for node in nodes:
        if not isinstance(node, ast.FunctionDef) or not node.args.args:
            continue
        arguments = [a.arg for a in node.args.args if a.arg not in {"self", "cls"}]
        if not arguments:
            continue
        reads = raises = False
        for part in ast.walk(node):
            match part:
                case ast.Call(func=func, args=[ast.Name(id=name), *_]) if dotted(func) in _GETTERS:
                    reads = reads or name == arguments[0]
                case ast.Subscript(value=value, slice=ast.Name(id=name)) if dotted(value) in _ENVIRON:
                    reads = reads or name == arguments[0]
                    raises = raises or name == arguments[0]
                case ast.Raise():
                    raises = True
                case _:
                    pass
        if reads:
            default = literal(node.args.defaults[-1]) if node.args.defaults and len(arguments) > 1 else None
            out[node.name] = _Helper(raises, default, len(arguments) > 1)
    return out


def _call(node: ast.Call, callables: dict[str, str], helpers: dict[str, _Helper]) -> EnvRead | None:
    name = dotted(node.func)
    variable = literal(node.args[0]) if node.args else None
    if variable is None or not _NAME.match(variable) or not isinstance(node.args[0], ast.Constant):
        return None
    words = {k.arg: k.value for k in node.keywords if k.arg}
    second = node.args[1] if len(node.args) > 1 else None
    if name in _GETTERS:
        return EnvRead(variable, node.lineno, False, literal(second or words.get("default")))
    library = callables.get(name)
    head, _, method = name.rpartition(".")
    if library is None and callables.get(head) == "environs" and method in _CASTS:
        library = "environs"
    if library is not None:
        default = words.get("default") or (second if library != "starlette" else None)
        return EnvRead(variable, node.lineno, default is None, literal(default))
    helper = helpers.get(name.rsplit(".", 1)[-1])
    if helper is not None and variable.upper() == variable:
        default = words.get("default") or (second if helper.second else None)
        return EnvRead(
            variable, node.lineno, helper.required and default is None, literal(default) or helper.default
        )
    return None
