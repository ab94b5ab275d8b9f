"""Owns writing flywizard.toml with tomlkit: a fresh text, or the smallest change of an existing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import InlineTable, Table

if TYPE_CHECKING:
    from flywizard.spec import Spec

ALWAYS = {
    "database": ("kind", "name", "plan", "storage_gb", "version"),
    "broker": ("kind",),
    "secrets": ("source",),
}
INLINE = frozenset({"schema", "env", "build_args"})


def _full(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(by_alias=True, exclude_none=True)


def _minimal(spec: Spec) -> dict[str, Any]:
    """Return what is worth writing: no default, but what a reader wants to see."""
    full = _full(spec)
    out = spec.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    for table in ("database", "broker"):
        wanted = (
            ALWAYS[table]
            if full[table]["kind"] == "managed" or table == "broker"
            else ("kind", "name", "url_secret")
        )
        out[table] = {k: v for k, v in full[table].items() if k in wanted or k in out.get(table, {})}
    for name in full["secrets"]:
        out["secrets"][name] = {"source": full["secrets"][name]["source"]}
    return out


def fresh(spec: Spec) -> str:
    """Return a new text."""
    data = _minimal(spec)
    document = tomlkit.document()
    document.add(tomlkit.comment("What flywizard deploys. No secret belongs in this file; commit it."))
    for key in ("version", "name", "organization", "region"):
        document.add(key, data[key])
    for key in ("database", "broker"):
        document.add(tomlkit.nl())
        document.add(key, _table(data[key]))
    for outer in ("services", "secrets", "environments"):
        entries = data.get(outer)
        if not entries:
            continue
        parent = tomlkit.table(is_super_table=True)
        for name, value in entries.items():
            parent.add(name, _table(value))
        document.add(outer, parent)
    return _spaced(tomlkit.dumps(document))


def _spaced(text: str) -> str:
    """Put one empty line before each table."""
    out: list[str] = []
    for line in text.split("\n"):
        if line.startswith("[") and out and out[-1]:
            out.append("")
        if line or not out or out[-1]:
            out.append(line)
    return "\n".join(out).rstrip("\n") + "\n"


def _table(values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, _inline(value) if key in INLINE and isinstance(value, dict) else _item(value))
    return table


def _inline(values: Mapping[str, Any]) -> InlineTable:
    table = tomlkit.inline_table()
    for key, value in values.items():
        table.append(key, value)
    return table


def _item(value: Any) -> Any:
    return _table(value) if isinstance(value, dict) else tomlkit.item(value)


def changed(spec: Spec, previous: str) -> str:
    """Return the previous text with the smallest change; the same text where nothing differs."""
    document = tomlkit.parse(previous)
    needed = spec.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    touched = _update(document, _full(spec), needed, _minimal(spec), ())
    return tomlkit.dumps(document) if touched else previous


def _update(
    target: Any,
    full: Mapping[str, Any],
    needed: Mapping[str, Any],
    minimal: Mapping[str, Any],
    place: tuple[str, ...],
) -> bool:
    touched = False
    for key in list(target):
        if key not in full:
            if _is_ours(place, key):
                del target[key]
                touched = True
            continue
        value, wanted = target[key], full[key]
        if isinstance(value, dict) and isinstance(wanted, dict):
            touched |= _update(value, wanted, needed.get(key, {}), minimal.get(key, {}), (*place, key))
        elif _plain(value) != wanted:
            target[key] = wanted
            touched = True
    for key in needed:
        if key not in target:
            wanted = minimal[key]
            inline = isinstance(target, InlineTable) or key in INLINE
            target[key] = _inline(wanted) if inline and isinstance(wanted, dict) else _item(wanted)
            touched = True
    return touched


def _is_ours(place: tuple[str, ...], key: str) -> bool:
    """Tell whether a key that the spec no longer has may go: entries of our tables and unset values, never unknown keys."""
    from flywizard.spec import known_keys

    if place in {("services",), ("secrets",), ("environments",)}:
        return True
    if place and place[-1] in {"env", "build_args"}:
        return True
    return key in known_keys(place)


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value
