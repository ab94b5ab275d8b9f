"""Owns the line numbers of a TOML text: dotted key to line, which neither tomllib nor tomlkit tells."""

from __future__ import annotations

import re
from typing import TypeAlias

Key: TypeAlias = tuple[str | int, ...]
_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.?)""")
_QUOTES = ('"""', "'''")


def lines_of(text: str) -> dict[Key, int]:
    """Return the line (from 1) of each table and key, e.g. ``("services", "api", "port")``.

    Members of an array of tables carry their index. Inline tables give the line of the outer key. A text
    that is no TOML gives what was understood.
    """
    found: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        number, line = index + 1, lines[index].strip()
        index += 1
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            array = line.startswith("[[")
            names = _dotted(line.lstrip("["))
            if not names:
                continue
            table = _placed(names, counts)
            if array:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            for size in range(1, len(table) + 1):
                found.setdefault(table[:size], number)
            continue
        names = _dotted(line)
        if not names:
            continue
        for size in range(1, len(names) + 1):
            found.setdefault((*table, *names[:size]), number)
        index = _after_value(lines, index - 1)
    return found


def _dotted(text: str) -> tuple[str, ...]:
    names: list[str] = []
    position = 0
    while match := _PART.match(text, position):
        names.append(match[1] or match[2] or match[3] or "")
        position = match.end()
        if not match[4]:
            break
    return tuple(names)


def _placed(names: tuple[str, ...], counts: dict[Key, int]) -> Key:
    """Insert the indices of the arrays of tables that the names lead through."""
    key: Key = ()
    for position, name in enumerate(names):
        key = (*key, name)
        if key in counts and position < len(names) - 1:
            key = (*key, counts[key])
    return key


def _after_value(lines: list[str], index: int) -> int:
    """Return the index of the line after the value that begins on line ``index``."""
    depth, quote = 0, ""
    first = True
    while index < len(lines):
        line = lines[index]
        position = line.find("=") + 1 if first else 0
        first = False
        while position < len(line):
            if quote in _QUOTES:
                end = line.find(quote, position)
                if end < 0:
                    break
                position, quote = end + 3, ""
            elif line.startswith(_QUOTES, position):
                quote = line[position : position + 3]
                position += 3
            elif line[position] in "\"'":
                mark = line[position]
                position += 1
                while position < len(line) and line[position] != mark:
                    position += 2 if mark == '"' and line[position] == "\\" else 1
                position += 1
            elif line[position] == "#":
                break
            else:
                depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(line[position], 0)
                position += 1
        index += 1
        if depth <= 0 and not quote:
            break
    return index
