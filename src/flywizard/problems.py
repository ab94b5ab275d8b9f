"""Owns naming failures: raw text → Problem, by the ordered rules of ``problems.toml``.

Rules are data. What no rule knows is shown as it came, with the exact command: nothing is guessed.
The text must be clean and masked already (``text.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from flywizard.events import Problem, Remedy

STAGES: frozenset[str] = frozenset({
    "prerequisites", "signin", "look", "app", "database", "extension", "attach", "schema", "secrets", "config",
    "build", "push", "deploy", "release", "check", "lease", "logs", "kafka", "postgres", "keyring", "run",
})  # fmt: skip
"""Words for ``diagnose(stage, …)``; a rule without stages is asked in all of them."""
PLAIN_ACTIONS: frozenset[str] = frozenset({"retry", "skip", "undo", "docs", "copy", "wait", "quit"})
ACTION = re.compile(r"(?:edit:[a-z]+(?:\.[a-z_]+)?|set:[A-Za-z_{}][A-Za-z0-9_{}]*|run:[a-z][a-z-]*)")
RAW_LINES = 200
_FACT_LENGTH = 300
_BAD_LINE = re.compile(r"(NAME=VALUE pairs \().*", re.IGNORECASE)
_WORDS = {
    "app": "the app", "name": "this name", "organization": "the organisation", "region": "this region",
    "machine": "the machine", "cluster": "the cluster", "group": "a process group", "path": "a file",
    "extension": "the extension", "host": "the server", "image": "the image", "owner": "somebody",
    "status": "an error", "line": "?", "wanted": "another address", "found": "nothing", "url": "the address",
    "names": "some secrets", "reason": "flyctl can't carry it", "why": "", "what": "It is not known what happened",
    "flag": "a flag", "detail": "", "command": "the command", "topic": "the topic", "database": "the database",
    "value": "the value", "ids": "several", "kind": "address", "who": "somebody", "since": "a while ago",
    "regions": "listed by `fly platform regions`", "wrong": "the machines are not as they should be",
    "user": "the user", "target": "the stage", "address": "its address", "question": "a question",
    "tables": "some tables exist", "files": "the schema", "body": "", "mechanisms": "other mechanisms",
}  # fmt: skip
"""What stands in a sentence where a fact is not known."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of ``problems.toml``."""

    id: str
    what: str
    why: str
    remedies: tuple[Remedy, ...]
    stages: frozenset[str] = frozenset()
    """Only in these stages; empty: in all."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """Any of them; empty: raised by id only, see :func:`problem`."""
    unless: re.Pattern[str] | None = None
    exit_code: int | None = None
    host: re.Pattern[str] | None = None
    docs: str | None = None
    recorded: str = ""
    """A real message, which this rule must be the first to know."""
    silent: str = ""
    """A near miss that it must not match."""
    recorded_host: str = ""

    def match(self, stage: str, text: str, exit_code: int | None, host: str) -> re.Match[str] | None:
        """Return the match in a cleaned text, or None."""
        if self.stages and stage not in self.stages:
            return None
        if self.exit_code is not None and exit_code != self.exit_code:
            return None
        if self.host is not None and not self.host.search(host):
            return None
        if self.unless is not None and self.unless.search(text):
            return None
        for pattern in self.patterns:
            if found := pattern.search(text):
                return found
        return None


def diagnose(
    stage: str,
    text: str,
    *,
    exit_code: int | None = None,
    host: str = "",
    facts: Mapping[str, str] | None = None,
    log: Sequence[str] = (),
) -> Problem:
    """Name a failure: the first rule that matches, the ids of the others under ``also``.

    ``facts`` fill the sentences (``app``, ``name`` …); ``command`` is the exact command for a failure that no
    rule knows. Without a rule the Problem is ``UNKNOWN`` and shows the raw text.
    """
    raw = _raw(text)
    known = dict(facts or {})
    matches = list(_matching(stage, raw, exit_code, host))
    if not matches:
        return _unknown(raw, exit_code, known, tuple(log))
    rule, found = matches[0]
    groups = {key.rstrip("0123456789"): value for key, value in found.groupdict().items() if value}
    return _fill(rule, {**known, **groups}, raw, tuple(log), tuple(r.id for r, _ in matches[1:]))


def problem(rule_id: str, **facts: str) -> Problem:
    """Return a known problem directly.

    Raises:
        KeyError: no rule has this id.
    """
    for rule in all_rules():
        if rule.id == rule_id:
            return _fill(rule, facts, "", (), ())
    raise KeyError(rule_id)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return the rules in their order, read once."""
    import tomllib
    from importlib.resources import files

    data = tomllib.loads(files("flywizard").joinpath("problems.toml").read_text(encoding="utf-8"))
    return tuple(_rule(entry) for entry in data["rule"])


def collapsed(text: str) -> str:
    """Return the text without escapes, overwritten progress and the ends of endless lines."""
    from flywizard.flyctl.plaintext import plain_short

    return plain_short(text)


def _matching(
    stage: str, text: str, exit_code: int | None, host: str
) -> Iterator[tuple[Rule, re.Match[str]]]:
    for rule in all_rules():
        if found := rule.match(stage, text, exit_code, host):
            yield rule, found


def _raw(text: str) -> str:
    lines = collapsed(text).strip("\n").split("\n")[-RAW_LINES:]
    return _BAD_LINE.sub(r"\1••••", "\n".join(line.rstrip() for line in lines))


def _unknown(raw: str, exit_code: int | None, facts: Mapping[str, str], log: tuple[str, ...]) -> Problem:
    command = facts.get("command", "")
    how = "" if exit_code is None else f" with exit code {exit_code}"
    return Problem(
        "UNKNOWN",
        f"`{command}` failed{how}" if command else f"A command failed{how}",
        "This message is new to flywizard, so it is shown as it came.",
        (
            Remedy("retry", "Try again", command or None),
            Remedy("copy", "Copy a report for the people who can add a rule"),
            Remedy("quit", "Stop here and resume later", "flywizard resume"),
        ),
        raw=raw,
        log=log,
    )


class _Facts(dict[str, str]):
    def __init__(self, facts: Mapping[str, str], upper: bool) -> None:
        super().__init__({k: _one_line(v) for k, v in facts.items() if v})
        self.upper = upper

    def __missing__(self, key: str) -> str:
        return key.upper() if self.upper else _WORDS.get(key, key)


def _one_line(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _FACT_LENGTH else line[: _FACT_LENGTH - 1] + "…"


def _fill(
    rule: Rule, facts: Mapping[str, str], raw: str, log: tuple[str, ...], also: tuple[str, ...]
) -> Problem:
    words, places = _Facts(facts, upper=False), _Facts(facts, upper=True)
    remedies = tuple(
        Remedy(
            r.action.format_map(places),
            r.label.format_map(words),
            r.command.format_map(places) if r.command else None,
        )
        for r in rule.remedies
    )
    what, why = rule.what.format_map(words), rule.why.format_map(words)
    return Problem(rule.id, what.strip(), why.strip(), remedies, rule.docs, raw, log, also)


def _rule(entry: Mapping[str, Any]) -> Rule:
    def pattern(key: str) -> re.Pattern[str] | None:
        return re.compile(entry[key], re.IGNORECASE | re.MULTILINE) if key in entry else None

    return Rule(
        id=entry["id"],
        what=entry["what"],
        why=entry["why"],
        remedies=tuple(Remedy(r["action"], r["label"], r.get("command")) for r in entry["remedies"]),
        stages=frozenset(entry.get("stages", ())),
        patterns=tuple(re.compile(p, re.IGNORECASE | re.MULTILINE) for p in entry.get("match", ())),
        unless=pattern("unless"),
        exit_code=entry.get("exit_code"),
        host=pattern("host"),
        docs=entry.get("docs"),
        recorded=entry.get("recorded", ""),
        silent=entry.get("silent", ""),
        recorded_host=entry.get("recorded_host", ""),
    )
