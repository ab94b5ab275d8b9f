"""Owns .dockerignore: which files of a build context the builder gets to see. Rules as in moby's patternmatcher."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WANTED = (
    ".git",
    ".env*",
    "!.env.example",
    "node_modules",
    ".next",
    ".venv",
    "__pycache__",
    "*.pyc",
    ".pytest_cache",
    ".mypy_cache",
    "dist",
    "coverage",
    "*.log",
    ".DS_Store",
)
"""Lines of a generated file."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """The rules of one .dockerignore, in order; the last match decides."""

    rules: tuple[tuple[re.Pattern[str], bool], ...] = ()
    """(pattern over the whole path, ignored)."""

    @property
    def has_exceptions(self) -> bool:
        """Tell whether something ignored may be seen again below an ignored folder."""
        return any(not ignored for _, ignored in self.rules)

    def __call__(self, path: str) -> bool:
        """Tell whether a path, relative to the context with ``/``, is left out."""
        parts = path.split("/")
        prefixes = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        ignored = False
        for pattern, value in self.rules:
            if any(pattern.fullmatch(prefix) for prefix in prefixes):
                ignored = value
        return ignored


def missing(text: str) -> list[str]:
    """Return the lines of ``WANTED`` that an existing text lacks, in order."""
    ignored = parse(text)
    return [
        line
        for line in WANTED
        if not line.startswith("!") and not ignored(line.replace("*", "x").removesuffix("x"))
    ]


def extended(text: str, lines: Iterable[str]) -> str:
    """Return a text with further lines at its end; what is there stays as it is."""
    new = "\n".join(lines)
    return text + ("" if not text or text.endswith("\n") else "\n") + (new + "\n" if new else "")


def parse(text: str) -> Ignore:
    """Read a .dockerignore; a pattern that is none is passed over."""
    return of(text.lstrip("\ufeff").split("\n"))


def of(lines: Iterable[str]) -> Ignore:
    """Make rules of lines."""
    rules: list[tuple[re.Pattern[str], bool]] = []
    for raw in lines:
        line = raw.strip()
        if not line or raw.startswith("#"):
            continue
        negative = line.startswith("!")
        line = line[1:].strip() if negative else line
        clean = _clean(line)
        if not clean:
            continue
        try:
            rules.append((re.compile(_expression(clean), re.DOTALL), not negative))
        except re.error:
            continue
    return Ignore(tuple(rules))


def _clean(pattern: str) -> str:
    """Normalise as Go's ``filepath.Clean``, without the leading slash."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if parts:
                parts.pop()
            continue
        parts.append(part)
    return "/".join(parts)


def _expression(pattern: str) -> str:
    out: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if pattern.startswith("**", index):
            index += 2
            if pattern.startswith("/", index):
                index += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = pattern.find("]", index + 2)
            if end < 0:
                raise re.error("no closing bracket")
            inner = pattern[index + 1 : end]
            negated = inner.startswith("^")
            body = inner[1:] if negated else inner
            out.append("[" + ("^" if negated else "") + body.replace("\\", "\\\\").replace("[", "\\[") + "]")
            index = end
        elif char == "\\" and index + 1 < len(pattern):
            index += 1
            out.append(re.escape(pattern[index]))
        else:
            out.append(re.escape(char))
        index += 1
    return "".join(out)
