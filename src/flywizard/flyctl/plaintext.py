"""Owns the small cleaning that reading flyctl's output needs: escapes out, overwritten progress collapsed."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def strip_ansi(text: str) -> str:
    """Remove escape sequences. Needed even with ``NO_COLOR``: flyctl colours some words regardless."""
    return _ANSI.sub("", text)


def plain(text: str) -> str:
    """Return what a reader would see: no escapes, of a line overwritten by carriage returns only the last writing."""
    lines = []
    for line in strip_ansi(text).split("\n"):
        parts = [part for part in line.split("\r") if part]
        lines.append(parts[-1] if parts else "")
    return "\n".join(lines)


LINE = 2000
"""Characters of a line that are looked at: hostile lines must not make a pattern slow."""


def plain_short(text: str) -> str:
    """Return :func:`plain` with every line cut to :data:`LINE` characters."""
    return "\n".join(line[:LINE] for line in plain(text).split("\n"))
