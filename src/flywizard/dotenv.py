"""Owns reading ``.env`` files: text to names and values, with what tools read differently said per line.

Pure: the caller reads the file (with consent, inside the repository). No notice ever holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywizard.secret_kinds import (
    Kind,
    generate_secret,
    is_dangerous,
    is_local,
    is_placeholder,
    is_published,
    looks_secret,
    may_be_generated,
    published_secret,
    secret_kind,
)
from flywizard.vault import Secret

__all__ = [
    "LARGEST",
    "Entry",
    "EnvFile",
    "Kind",
    "Notice",
    "Reading",
    "file_role",
    "generate_secret",
    "is_dangerous",
    "is_local",
    "is_placeholder",
    "is_published",
    "looks_secret",
    "may_be_generated",
    "parse",
    "published_secret",
    "secret_kind",
]

LARGEST = 1 << 20
"""Bytes; larger files are not read."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

Code: TypeAlias = Literal[
    "bad-line",
    "bad-name",
    "bytes",
    "unclosed",
    "after-quote",
    "repeated",
    "unset",
    "dangerous",
    "differs",
    "too-large",
]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell about a line; names, numbers and words only."""

    line: int
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What other tools make of the same line."""

    tools: str
    value: Secret


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of the file; of a repeated one the last."""

    name: str
    value: Secret | None
    """Resolved; None: the name stands alone, "take it from the environment"."""
    line: int
    """Where it starts, from 1."""
    quote: Literal["", "'", '"'] = ""
    found: Secret | None = None
    """The text before ``$NAME`` was resolved, where that changed it."""
    uses: tuple[str, ...] = ()
    """Names it refers to."""
    others: tuple[Reading, ...] = ()
    """Readings that differ from ``value``: show both and ask."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file that was read."""

    entries: tuple[Entry, ...] = ()
    """In the order of the file."""
    notices: tuple[Notice, ...] = ()

    def __getitem__(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)


def file_role(filename: str) -> Literal["values", "names"] | None:
    """Tell what a file may give: values, names and hints only (``.env.example``), or nothing (backups)."""
    name = filename.rpartition("/")[2].lower()
    if name.endswith((".bak", ".backup", ".old", ".orig", ".save", ".swp", "~")):
        return None
    if not (name == ".env" or name.startswith((".env.", "env.")) or name.endswith(".env")):
        return None
    if {"example", "sample", "template", "dist", "tmpl", "defaults"} & set(name.split(".")):
        return "names"
    return "values"


def parse(data: bytes, environ: Mapping[str, str] | None = None) -> EnvFile:
    """Read a file's bytes.

    ``$NAME`` is resolved from earlier lines, then from ``environ`` (default: nothing).
    """
    if len(data) > LARGEST:
        return EnvFile((), (Notice(1, "too-large", "The file is larger than 1 MB and was not read."),))
    return _Reader(data, environ or {}).read()


class _Reader:
    def __init__(self, data: bytes, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._notices: list[Notice] = []
        self._entries: dict[str, Entry] = {}
        self._bad: set[int] = set()
        self._text = self._decoded(data)
        self._at = 0
        self._line = 1

    def _decoded(self, data: bytes) -> str:
        lines = []
        for number, raw in enumerate(
            data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").split(b"\n"), 1
        ):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError:
                line = "\0"
            if "\0" in line:
                self._bad.add(number)
                self._note(
                    number, "bytes", "The line is not UTF-8 text, or holds a zero byte; it was left out."
                )
                line = ""
            lines.append(line)
        return "\n".join(lines)

    def _note(self, line: int, code: Code, text: str) -> None:
        self._notices.append(Notice(line, code, text))

    def read(self) -> EnvFile:
        while self._at < len(self._text):
            end = self._end_of_line()
            line = self._text[self._at : end]
            body = line.strip()
            if not body or body.startswith("#"):
                self._next(end)
                continue
            self._statement(line, end)
        order = sorted(self._entries.values(), key=lambda entry: entry.line)
        return EnvFile(tuple(order), tuple(sorted(self._notices, key=lambda notice: notice.line)))

    def _end_of_line(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _next(self, end: int) -> None:
        """Go behind ``end``, the place of a newline or of the end."""
        self._line += self._text.count("\n", self._at, end + 1)
        self._at = end + 1

    def _statement(self, line: str, end: int) -> None:
        match = re.match(r"\s*(?:export[ \t]+)?(?P<name>[^\s=]+)[ \t]*(?P<equals>=)?[ \t]*", line)
        if match is None or (match["equals"] is None and match.end() < len(line.rstrip())):
            rest = line[match.end() :].lstrip() if match is not None else line
            if match is None or not rest.startswith("#"):
                self._note(self._line, "bad-line", "The line is not `NAME=VALUE`; it was left out.")
                self._next(end)
                return
        name = match["name"]
        if not NAME.match(name):
            self._note(
                self._line,
                "bad-name",
                "The name is not made of letters, digits and `_`; the line was left out.",
            )
            self._next(end)
            return
        number = self._line
        if match["equals"] is None:
            self._keep(Entry(name, None, number))
            self._next(end)
            return
        start = self._at + match.end()
        quote = self._text[start : start + 1]
        if quote == "'" or quote == '"':
            self._quoted(name, number, start, quote, end)
        else:
            blank = start > 0 and self._text[start - 1] in " \t"
            self._unquoted(name, number, self._text[start:end], blank)
            self._next(end)

    def _unquoted(self, name: str, number: int, rest: str, blank: bool) -> None:
        raw = (" " if blank else "") + rest
        comment = re.search(r"\s#", raw)
        text = (raw[: comment.start()] if comment else raw).strip()
        value, uses = self._expanded(text, number)
        others = []
        if "#" in text:
            others.append(("dotenv for Node", text.partition("#")[0].strip()))
        others += self._without_expansion(text, value)
        self._finish(name, number, "", text, value, uses, others)

    def _quoted(self, name: str, number: int, start: int, quote: str, end: int) -> None:
        body = re.compile(r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\[\s\S])*)"').match(
            self._text, start
        )
        if body is None:
            self._note(number, "unclosed", f"The quote of `{name}` is never closed; the line was left out.")
            self._next(end)
            return
        last = number + body[0].count("\n")
        self._at, self._line = body.end(), last
        end = self._end_of_line()
        after = self._text[body.end() : end].strip()
        self._next(end)
        if self._bad & set(range(number, last + 1)):
            self._note(number, "bytes", f"`{name}` spans a line that was left out, so it was left out too.")
            return
        if after and not after.startswith("#"):
            self._note(number, "after-quote", f"What follows the closing quote of `{name}` was left out.")
        if quote == "'":
            self._finish(name, number, quote, body[1], body[1], (), [])
            return
        value, uses = self._expanded(body[1], number, escapes=True)
        others = self._without_expansion(_unescaped(body[1]), value)
        self._finish(name, number, quote, _unescaped(body[1]), value, uses, others)

    def _without_expansion(self, found: str, value: str) -> list[tuple[str, str]]:
        return [("dotenv for Node", found)] if found != value else []

    def _finish(
        self,
        name: str,
        number: int,
        quote: str,
        found: str,
        value: str,
        uses: tuple[str, ...],
        others: list[tuple[str, str]],
    ) -> None:
        different = tuple(Reading(tools, Secret(other)) for tools, other in others if other != value)
        if different:
            tools = ", ".join(dict.fromkeys(reading.tools for reading in different))
            self._note(number, "differs", f"`{name}` is read differently by {tools}.")
        kept: Literal["", "'", '"'] = "'" if quote == "'" else '"' if quote else ""
        before = Secret(found) if found != value else None
        self._keep(Entry(name, Secret(value), number, kept, before, uses, different))

    def _keep(self, entry: Entry) -> None:
        earlier = self._entries.get(entry.name)
        if earlier is not None:
            text = (
                f"`{entry.name}` stands on line {earlier.line} and on line {entry.line}; the last one counts."
            )
            self._note(entry.line, "repeated", text)
        if is_dangerous(entry.name):
            self._note(
                entry.line, "dangerous", f"`{entry.name}` steers programs and is never passed on from a file."
            )
        self._entries[entry.name] = entry

    def _expanded(self, text: str, number: int, *, escapes: bool = False) -> tuple[str, tuple[str, ...]]:
        uses: list[str] = []

        def look(name: str) -> str | None:
            uses.append(name)
            entry = self._entries.get(name)
            if entry is not None and entry.value is not None:
                return entry.value.reveal()
            return self._environ.get(name)

        def missing(name: str) -> None:
            self._note(number, "unset", f"`{name}` is used here but not set; it reads as empty.")

        try:
            value = _expand(text, look, missing, escapes)
        except _TooLongError:
            self._note(number, "too-large", "The value grows beyond 1 MB and was left as it stands.")
            value = text
        return value, tuple(dict.fromkeys(uses))


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_PIECE = re.compile(r"\\([\s\S])|\$\$|\$([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+?])?")
_DEEPEST = 20


class _TooLongError(Exception):
    """A value names others that make it grow without end."""


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\s\S])", lambda m: _ESCAPES.get(m[1], m[0]), text)


def _expand(
    text: str,
    look: Callable[[str], str | None],
    missing: Callable[[str], None],
    escapes: bool,
    depth: int = 0,
) -> str:
    """Resolve escapes (of double quotes) and ``$NAME``, ``${NAME}``, ``${NAME:-default}`` in one pass."""
    if depth >= _DEEPEST:
        return text
    out: list[str] = []
    at = size = unclosed = 0
    while (match := _PIECE.search(text, at)) is not None and unclosed < _DEEPEST:
        out.append(text[at : match.start()])
        at = match.end()
        escaped, bare, braced, operator = match.groups()
        if escaped is not None:
            out.append(_ESCAPES.get(escaped, match[0]) if escapes else match[0][0])
            at = match.end() if escapes else match.start() + 1
        elif match[0] == "$$":
            out.append("$")
        elif bare is not None:
            out.append(_value(bare, None, "", look, missing))
        else:
            close = _closing(text, at)
            if close < 0 or (operator is None and close != at):
                unclosed += close < 0
                out.append(match[0])
                continue
            default = _expand(text[at:close], look, missing, escapes, depth + 1) if operator else ""
            out.append(_value(braced, operator, default, look, missing))
            at = close + 1
        size += len(out[-1])
        if size > LARGEST:
            raise _TooLongError
    return "".join(out) + text[at:]


def _closing(text: str, at: int) -> int:
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _value(
    name: str,
    operator: str | None,
    default: str,
    look: Callable[[str], str | None],
    missing: Callable[[str], None],
) -> str:
    found = look(name)
    there = found is not None and (bool(found) or not (operator or "").startswith(":"))
    match (operator or "")[-1:]:
        case "-":
            return found or "" if there else default
        case "+":
            return default if there else ""
        case _:
            if found is None:
                missing(name)
            return found or ""
