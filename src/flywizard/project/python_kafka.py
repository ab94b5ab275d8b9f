"""Owns the Kafka clients of a Python file: constructions, and the keys of the dictionaries passed to them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from flywizard.project.python_facts import (
    CLIENTS,
    SASL_WORDS,
    KafkaUse,
    PythonFile,
    Table,
    dotted,
    last_name,
    literal,
)

CONSUMERS = frozenset(
    {"AIOKafkaConsumer", "KafkaConsumer", "Consumer", "DeserializingConsumer", "AvroConsumer", "AIOConsumer"}
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
        "AvroProducer",
        "AIOProducer",
        "KafkaBroker",
        "ConfluentKafkaBroker",
    }
)
_DICTIONARY = CONSUMERS | PRODUCERS - {"KafkaBroker"}
_PROTOCOL = ("security_protocol", "security.protocol")
_SENDS = frozenset({"send", "send_and_wait", "produce", "publish"})


def read_kafka(nodes: Sequence[ast.AST], out: PythonFile) -> None:
    """Add to ``out`` its Kafka clients, the dictionaries that could reach one, and topics by name."""
    out.tables.update(_tables(nodes))
    modules = {m.split(".")[0] for m, _ in out.imports}
    if not modules & set(CLIENTS):
        return
    owners = _owners(nodes)
    dicts = {
        dotted(n.targets[0]): n.value
        for n in nodes
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Dict)
    }
    fast = "faststream" in modules
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        last = name.rsplit(".", 1)[-1]
        if last in CONSUMERS | PRODUCERS or (last == "App" and name.startswith("faust")):
            _construction(node, last, owners.get(id(node)), dicts, out, fast)
    _topics(nodes, out, fast or "faust" in modules)


def _construction(
    node: ast.Call,
    last: str,
    owner: tuple[str, str, str] | None,
    dicts: Mapping[str, ast.Dict],
    out: PythonFile,
    fast: bool,
) -> None:
    words = {k.arg: k.value for k in node.keywords if k.arg}
    parts = [k.value for k in node.keywords if k.arg is None]
    if last in _DICTIONARY and not last.startswith(("AIOKafka", "Kafka")):
        parts += node.args[:1]
    wrapper = ""
    tables = []
    for part in parts:
        if owner and isinstance(part, ast.Name) and part.id == owner[1]:
            wrapper = owner[2] if owner[0] == "__init__" else owner[0]
            continue
        tables.append(_table(part))
    own = Table(frozenset(words), plaintext=_plain(words.items()))
    table = _joined([own, *tables])
    bootstrap, groups = words.get("bootstrap_servers"), [words.get("group_id")]
    for part in parts:
        found = part if isinstance(part, ast.Dict) else dicts.get(dotted(part))
        if found is not None:
            for key, value in zip(found.keys, found.values, strict=True):
                text = literal(key)
                if text in {"group.id", "group_id"}:
                    groups.append(value)
                elif text in {"bootstrap.servers", "bootstrap_servers"}:
                    bootstrap = value
    consumer = last in CONSUMERS or (last == "App" and not fast)
    positional = node.args if last.startswith(("AIOKafka", "Kafka")) and last in CONSUMERS else []
    topics, names = _named(positional, out)
    sasl: bool | None = True if signs_in(table) else None if table.spreads or table.open or wrapper else False
    out.kafka.append(
        KafkaUse(
            last,
            node.lineno,
            sasl,
            consumer,
            topics,
            tuple(t for g in groups if (t := literal(g))),
            literal(bootstrap),
            table,
            names,
            wrapper,
        )
    )


def signs_in(table: Table) -> bool:
    """Tell whether the keys hold a sign-in; a fixed PLAINTEXT alone is none."""
    found = table.keys & SASL_WORDS
    return bool(found - set(_PROTOCOL)) or (bool(found) and not table.plaintext)


def _tables(nodes: Sequence[ast.AST]) -> dict[str, Table]:
    """Return the dictionaries of a file by their last name, with what is added to them later."""
    out: dict[str, list[Table]] = {}
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[target], value=ast.Dict() | ast.Call() as value)
                | ast.AnnAssign(target=target, value=ast.Dict() | ast.Call() as value)
            ) if last_name(target):
                if isinstance(value, ast.Dict) or last_name(value) == "dict":
                    out.setdefault(last_name(target), []).append(_table(value))
            case ast.Assign(targets=[ast.Subscript(value=holder, slice=key)], value=value):
                text = literal(key)
                if text and last_name(holder):
                    table = Table(frozenset([text]), plaintext=_plain([(text, value)]))
                    out.setdefault(last_name(holder), []).append(table)
            case ast.Call(func=ast.Attribute(value=holder, attr="update"), args=args, keywords=words) if (
                last_name(holder)
            ):
                named = Table(frozenset(k.arg for k in words if k.arg))
                out.setdefault(last_name(holder), []).append(_joined([named, *(_table(a) for a in args)]))
            case _:
                pass
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            returned = [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
            found = []
            for value in returned:
                if isinstance(value, ast.Dict) or last_name(value) == "dict":
                    found.append(_table(value))
                elif isinstance(value, ast.Name) and value.id in out:
                    found += out[value.id]
                elif isinstance(value, ast.Call | ast.Attribute | ast.BinOp | ast.IfExp):
                    found.append(_table(value))
            if found:
                out.setdefault(node.name, []).extend(found)
    return {name: _joined(tables) for name, tables in out.items()}


def _table(node: ast.AST) -> Table:
    """Return what a dictionary expression holds."""
    match node:
        case ast.Dict(keys=keys, values=values):
            parts = []
            pairs = []
            unknown = False
            for key, value in zip(keys, values, strict=True):
                if key is None:
                    parts.append(_table(value))
                elif (text := literal(key)) is not None:
                    pairs.append((text, value))
                else:
                    unknown = True
            own = Table(frozenset(k for k, _ in pairs), open=unknown, plaintext=_plain(pairs))
            return _joined([own, *parts])
        case ast.Call(func=ast.Name(id="dict"), args=args, keywords=words):
            own = Table(
                frozenset(k.arg for k in words if k.arg),
                plaintext=_plain((k.arg, k.value) for k in words if k.arg),
            )
            spread = [_table(k.value) for k in words if k.arg is None]
            return _joined([own, *spread, *(_table(a) for a in args)])
        case ast.Call(func=ast.Attribute(value=inner, attr="copy")):
            return _table(inner)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _joined([_table(left), _table(right)])
        case ast.IfExp(body=body, orelse=other):
            return _joined([_table(body), _table(other)])
        case ast.BoolOp(values=values):
            return _joined([_table(v) for v in values])
        case ast.Name() | ast.Attribute() | ast.Call() if last_name(node):
            return Table(spreads=(last_name(node),))
        case ast.Constant(value=None):
            return Table()
        case _:
            return Table(open=True)


def _plain(pairs: Iterable[tuple[str | None, ast.AST]]) -> bool:
    return any(key in _PROTOCOL and (literal(value) or "").upper() == "PLAINTEXT" for key, value in pairs)


def _joined(tables: Iterable[Table]) -> Table:
    keys: frozenset[str] = frozenset()
    spreads: tuple[str, ...] = ()
    unknown = False
    protocols = []
    for table in tables:
        keys |= table.keys
        spreads += table.spreads
        unknown = unknown or table.open
        if table.keys & set(_PROTOCOL):
            protocols.append(table.plaintext)
    return Table(keys, tuple(dict.fromkeys(spreads)), unknown, bool(protocols) and all(protocols))


def _owners(nodes: Sequence[ast.AST]) -> dict[int, tuple[str, str, str]]:
    """Return, by call, the function around it that has ``**`` arguments: (function, argument, class)."""
    out: dict[int, tuple[str, str, str]] = {}
    functions: list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]] = []
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            functions += [
                (i, node.name) for i in node.body if isinstance(i, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append((node, ""))
    for function, around in functions:
        if function.args.kwarg is not None:
            for inner in ast.walk(function):
                if isinstance(inner, ast.Call) and (around or id(inner) not in out):
                    out[id(inner)] = (function.name, function.args.kwarg.arg, around)
    return out


def _named(nodes: Iterable[ast.AST], out: PythonFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (topics, names of topics that are constants elsewhere)."""
    topics: list[str] = []
    names: list[str] = []
    for node in nodes:
        inner = node.value if isinstance(node, ast.Starred) else node
        for item in inner.elts if isinstance(inner, ast.List | ast.Tuple | ast.Set) else [inner]:
            text = literal(item)
            if text is None and isinstance(item, ast.Subscript):
                name = f"{last_name(item.value)}.{literal(item.slice)}"
            else:
                name = last_name(item)
                if isinstance(item, ast.Attribute) and name == "value":
                    name = last_name(item.value)
            if text is not None:
                topics.append(text)
            elif name in out.constants:
                topics.append(out.constants[name])
            elif name:
                names.append(name)
    return tuple(topics), tuple(names)


def _topics(nodes: Sequence[ast.AST], out: PythonFile, decorated: bool) -> None:
    """Note the topics of ``subscribe``, ``send`` and of faststream's and faust's own ways."""
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        attr = node.func.attr
        holder = dotted(node.func.value).lower()
        words = {k.arg: k.value for k in node.keywords if k.arg}
        if attr == "subscribe" or (decorated and attr in {"subscriber", "topic", "agent"}):
            arguments = node.args or [words[w] for w in ("topics",) if w in words]
            consumer = attr != "publisher"
        elif attr in _SENDS and any(w in holder for w in ("producer", "broker", "kafka", "client")):
            arguments = [words["topic"]] if "topic" in words else node.args[:1]
            consumer = False
        else:
            continue
        topics, names = _named(arguments, out)
        groups = tuple(t for w in ("group_id",) if (t := literal(words.get(w))))
        if topics or names or groups:
            out.messages.append(
                KafkaUse(attr, node.lineno, None, consumer, topics, groups, None, Table(), names)
            )
