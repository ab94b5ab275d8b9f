"""Owns the names in ``.env`` files; values are never kept here."""

from __future__ import annotations

import re

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=|$)")
EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "env.example", ".env.local.example")
REAL = (".env", ".env.local", ".env.production", ".env.prod")


def read(text: str) -> tuple[tuple[str, int], ...]:
    """Return (name, line) of each assignment, in order."""
    return tuple((m[1], n) for n, line in enumerate(text.split("\n"), 1) if (m := _LINE.match(line)))
