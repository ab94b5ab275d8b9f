"""Owns the words of the command line: its commands and its exit codes."""

from __future__ import annotations

COMMANDS = {
    "rehearse": "the same, offline, on the simulated Fly.io; without PATH: the example project",
    "doctor": "check the prerequisites, each with its fix",
    "inspect": "say what the repository is, and what preflight objects to",
    "plan": "say what would be done and what it costs; changes nothing",
    "apply": "do it; without PLANFILE plans first",
    "resume": "go on with an interrupted run",
    "completion": "print completions for bash, zsh or fish",
}

EXIT_USAGE, EXIT_MISSING, EXIT_LOCKED, EXIT_STALE, EXIT_PREFLIGHT, EXIT_CHANGES = 2, 3, 4, 5, 6, 10
"""Exit codes of the contract besides 0, 1 and those of signals."""


def is_unicode(stream: object) -> bool:
    """Tell whether a text stream takes every character."""
    return str(getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")
