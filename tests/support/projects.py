"""Owns the projects that detection is tried on: the example as texts, and edits of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from flywizard.project import preflight
from flywizard.project.detect import detect
from flywizard.project.model import Findings, Objection
from flywizard.project.tree import Tree, scan

EXAMPLE = Path(__file__).parents[2] / "examples" / "helpdesk"


def example() -> dict[str, str]:
    """Return the example's texts by path."""
    tree = scan(EXAMPLE)
    texts = {path: tree.text(path) for path in tree}
    return {path: text for path, text in texts.items() if text is not None}


def edited(
    *edits: tuple[str, str, str],
    add: Mapping[str, str] | None = None,
    remove: tuple[str, ...] = (),
) -> dict[str, str]:
    """Return the example with replacements (path, old, new), added and removed files."""
    texts = example()
    for path, old, new in edits:
        assert old in texts[path], f"{old!r} is not in {path}"
        texts[path] = texts[path].replace(old, new)
    for path in remove:
        texts = {p: t for p, t in texts.items() if p != path and not p.startswith(path.rstrip("/") + "/")}
    return texts | dict(add or {})


def found(texts: Mapping[str, str], answers: Mapping[str, str] | None = None) -> Findings:
    """Detect in texts."""
    return _found(tuple(sorted(texts.items())), tuple(sorted((answers or {}).items())))


@lru_cache(maxsize=400)
def _found(texts: tuple[tuple[str, str], ...], answers: tuple[tuple[str, str], ...]) -> Findings:
    return detect(Tree.of(dict(texts)), dict(answers))


def objections(texts: Mapping[str, str], rule: str) -> list[Objection]:
    """Return what one rule says."""
    return [o for o in found(texts).problems if o.id == rule]


def stopping(findings: Findings, *, broker: str = "sasl", provider: str | None = None) -> list[Objection]:
    """Return the objections that stop a deployment with Managed Postgres and this broker."""
    return [
        o
        for o in findings.problems
        if preflight.blocks(o, database="managed", broker=broker, provider=provider)
    ]
