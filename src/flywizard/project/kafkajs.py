"""Owns reading Kafka clients in JavaScript and TypeScript (kafkajs), by pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flywizard.project import nextjs
from flywizard.project.compose import join
from flywizard.project.model import Service
from flywizard.project.survey import Survey, is_test

_NEW = re.compile(r"\bnew\s+Kafka\s*\(")
_TOPIC = re.compile(r"\btopics?\s*:\s*\[?\s*[\"'`]([^\"'`$]+)[\"'`]")
_GROUP = re.compile(r"\bgroupId\s*:\s*[\"'`]([^\"'`$]+)[\"'`]")


@dataclass(frozen=True, slots=True)
class NodeUse:
    """One ``new Kafka({…})``."""

    file: str
    line: int
    sasl: bool | None
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def wanted(survey: Survey, services: tuple[Service, ...]) -> bool:
    """Tell whether a service's package.json asks for kafkajs."""
    return any(
        (package := survey.packages.get(join(s.source, "package.json") or "")) is not None
        and "kafkajs" in package.dependencies()
        for s in services
        if s.language == "javascript"
    )


def uses(survey: Survey, services: tuple[Service, ...]) -> list[NodeUse]:
    """Return the clients in the folders of the JavaScript services."""
    out: list[NodeUse] = []
    seen: set[str] = set()
    for service in services:
        if service.language != "javascript" or service.path is None:
            continue
        for path in survey.tree.under(service.source):
            if path in seen or not path.endswith(nextjs.SOURCES) or is_test(path):
                continue
            seen.add(path)
            text = survey.tree.text(path)
            if text and "kafka" in text.lower():
                out += read(path, text)
    return out


def read(path: str, text: str) -> list[NodeUse]:
    """Return the clients that a source text makes; pure, never raises."""
    bare = nextjs.without_comments(text)
    out = []
    topics = tuple(dict.fromkeys(_TOPIC.findall(bare)))
    groups = tuple(dict.fromkeys(_GROUP.findall(bare)))
    for match in _NEW.finditer(bare):
        body = _braces(bare, match.end())
        sasl: bool | None = bool(re.search(r"\bsasl\b", body))
        if not sasl and (not body.lstrip().startswith("{") or re.search(r"\.\.\.", body)):
            sasl = True if re.search(r"\bsasl\s*[:=]|\.sasl\b", bare) else None
        out.append(NodeUse(path, bare.count("\n", 0, match.start()) + 1, sasl, topics, groups))
        topics = groups = ()
    return out


def _braces(text: str, start: int) -> str:
    depth = 1
    for index in range(start, min(len(text), start + 20_000)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return text[start:index]
    return text[start : start + 20_000]
