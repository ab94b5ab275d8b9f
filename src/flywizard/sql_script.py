"""Owns the reading of SQL scripts: single statements with their lines, the tables they create, transactions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*'?)
    | (?P<string>'(?:[^']|'')*'?)
    | (?P<quoted>"(?:[^"]|"")*"?)
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)
    | (?P<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME: Final = r'(?:"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)'
_CREATE_TABLE: Final = re.compile(
    rf"^\s*CREATE\s+(?:(?:UNLOGGED|FOREIGN)\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?({_NAME}(?:\s*\.\s*{_NAME})?)",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(
    r"^\s*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION|VACUUM|CREATE\s+DATABASE"
    r"|DROP\s+DATABASE|ALTER\s+SYSTEM|CREATE\s+TABLESPACE|REINDEX\s+(?:DATABASE|SYSTEM))\b"
    r"|^\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\b.*?)\s+CONCURRENTLY\b"
    r"|^\s*ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script."""

    text: str
    """As written, without the semicolon."""
    bare: str
    """The same without comments, and with ``''`` for every string: what patterns look at."""
    number: int
    """From 1."""
    line: int
    """Line of the script where it begins, from 1."""


class ScriptError(ValueError):
    """A script that only psql can run, or one whose quotes do not end."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(f"line {line}: {text}")
        self.text = text
        self.line = line


def split_statements(sql: str) -> Sequence[Statement]:
    """Return the statements of a script in order; comments alone are none.

    Knows strings, dollar quotes, nested comments, parentheses and ``BEGIN ATOMIC`` bodies.

    Raises:
        ScriptError: a psql command (beginning with a backslash), data after ``COPY … FROM stdin``, or a quote without end.
    """
    found: list[Statement] = []
    text: list[str] = []
    bare: list[str] = []
    begins: int | None = None
    parens = atomic = 0
    word_before = ""

    def finish() -> None:
        nonlocal begins, parens, atomic, word_before
        code = "".join(bare).strip()
        if code and begins is not None:
            line = sql.count("\n", 0, begins) + 1
            if re.match(r"COPY\b.*\bFROM\s+STDIN\b", code, re.IGNORECASE | re.DOTALL):
                raise ScriptError("`COPY … FROM stdin` can only be run by psql", line)
            found.append(Statement("".join(text).strip(), code, len(found) + 1, line))
        text.clear()
        bare.clear()
        begins, parens, atomic, word_before = None, 0, 0, ""

    for kind, piece, at in _tokens(sql):
        if kind == "comment":
            if begins is not None:
                text.append(piece)
            bare.append(" ")
            continue
        if kind == "mark" and piece == "\\" and begins is None:
            raise ScriptError(
                "a psql command (it begins with a backslash) can only be run by psql",
                sql.count("\n", 0, at) + 1,
            )
        if kind == "mark" and piece == ";" and parens <= 0 and atomic <= 0:
            finish()
            continue
        if begins is None:
            if piece.isspace():
                continue
            begins = at
        if kind == "word":
            upper = piece.upper()
            if upper == "ATOMIC" and word_before == "BEGIN":
                atomic = 1
            elif atomic and upper == "CASE":
                atomic += 1
            elif atomic and upper == "END":
                atomic -= 1
            word_before = upper
        parens += (piece == "(") - (piece == ")") if kind == "mark" else 0
        text.append(piece)
        bare.append("''" if kind == "string" else piece)
    finish()
    return found


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, text, offset); kinds: comment, string, quoted, word, mark."""
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        assert match is not None  # noqa: S101  # the last branch takes any character
        kind, end = match.lastgroup or "mark", match.end()
        piece = match[0]
        match kind:
            case "block":
                end = _comment_end(sql, at)
                kind = "comment"
            case "dollar":
                closing = sql.find(piece, end)
                if closing < 0:
                    raise ScriptError(f"the quote {piece} has no end", sql.count("\n", 0, at) + 1)
                end = closing + len(piece)
                kind = "string"
            case "line":
                kind = "comment"
            case "escaped" | "string" | "quoted":
                quote = piece[-1] if len(piece) > (2 if kind == "escaped" else 1) else ""
                if quote != ('"' if kind == "quoted" else "'"):
                    raise ScriptError("a quote has no end", sql.count("\n", 0, at) + 1)
                kind = "quoted" if kind == "quoted" else "string"
            case "number":
                kind = "mark"
            case _:
                pass
        yield kind, sql[at:end], at
        at = end


def _comment_end(sql: str, at: int) -> int:
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return at + mark.end()
    raise ScriptError("a comment has no end", sql.count("\n", 0, at) + 1)


def tables_created(sql: str) -> Sequence[str]:
    """Return the tables that a script creates, in order and once: ``name`` or ``schema.name``, quoted where needed.

    Temporary tables do not count. A script that cannot be read creates none.
    """
    try:
        statements = split_statements(sql)
    except ScriptError:
        return ()
    names = [canonical(match[1]) for s in statements if (match := _CREATE_TABLE.match(s.bare))]
    return tuple(dict.fromkeys(names))


def canonical(name: str) -> str:
    """Return a (qualified) name as Postgres reads it: folded to lower case, quotes only where they matter."""
    pieces = re.findall(_NAME, name)
    return ".".join(_canonical_word(piece) for piece in pieces)


def _canonical_word(word: str) -> str:
    value = word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
    if re.fullmatch(r"[a-z_][a-z0-9_$]*", value):
        return value
    return '"' + value.replace('"', '""') + '"'


def fits_one_transaction(statements: Sequence[Statement]) -> bool:
    """Tell whether the whole script may run in one transaction of ours."""
    return not any(_ALONE.match(statement.bare) for statement in statements)
