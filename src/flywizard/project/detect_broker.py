"""Owns what the code wants of a Kafka broker: client, sign-in, topics, groups, and its variables."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard.project import kafkajs
from flywizard.project.model import Broker, EnvName, Evidence, Service
from flywizard.project.python_facts import CLIENTS, SASL_WORDS, KafkaUse, Table
from flywizard.project.python_kafka import signs_in
from flywizard.project.survey import Survey


def broker(
    survey: Survey,
    services: tuple[Service, ...],
    reached: Mapping[str, set[str]],
    env: tuple[EnvName, ...],
) -> Broker:
    """Return what the code wants of a Kafka broker."""
    files = sorted(set().union(*reached.values())) if reached else []
    uses = [(p, u) for p in files for u in survey.python[p].kafka]
    messages = [(p, u) for p in files for u in survey.python[p].messages]
    tops = [m.split(".")[0] for p in files for m, _ in survey.python[p].imports]
    client = next((CLIENTS[t] for t in CLIENTS if t in tops), None)
    if "faststream" in tops and any(u.constructor.endswith("KafkaBroker") for _, u in uses):
        client = "faststream"
    node = kafkajs.uses(survey, services)
    names = {e.purpose: e.name for e in reversed(env)}
    bootstraps = [e.name for e in env if e.purpose == "kafka-bootstrap"]
    by_purpose: dict[str, list[EnvName]] = {}
    for e in env:
        by_purpose.setdefault(e.purpose, []).append(e)
    topics = [t for p, u in (*uses, *messages) for t in (*u.topics, *_elsewhere(survey, files, u))]
    topics += [e.default for e in by_purpose.get("kafka-topic", []) if e.default]
    topics += [t for u in node for t in u.topics]
    groups = [g for _, u in (*uses, *messages) for g in u.groups] + [
        e.default for e in by_purpose.get("kafka-group", []) if e.default
    ]
    groups += [g for u in node for g in u.groups]
    verdicts = [(Evidence(p, u.line, f"`{u.constructor}`"), verdict(survey, files, p, u)) for p, u in uses]
    verdicts += [(Evidence(u.file, u.line, "`new Kafka`"), u.sasl) for u in node]
    needed = bool(client or verdicts or bootstraps)
    if not client and (node or kafkajs.wanted(survey, services)):
        client, needed = "kafkajs", True
    return Broker(
        needed=needed,
        client=client,
        sasl_capable=_capable(survey, files, [v for _, v in verdicts]),
        bootstrap_env=bootstraps[0]
        if len(bootstraps) == 1
        else next((b for b in bootstraps if b == "KAFKA_BOOTSTRAP_SERVERS"), None),
        security_env=names.get("kafka-protocol"),
        topics=tuple(dict.fromkeys(t for t in topics if t)),
        groups=tuple(dict.fromkeys(groups)),
        mechanism_env=names.get("kafka-mechanism"),
        username_env=names.get("kafka-username"),
        password_env=names.get("kafka-password"),
        ca_env=names.get("kafka-ca"),
        topic_env=tuple(e.name for e in by_purpose.get("kafka-topic", [])),
        group_env=tuple(e.name for e in by_purpose.get("kafka-group", [])),
        evidence=tuple(e for e, _ in verdicts),
        without_sasl=tuple(
            Evidence(e.file, e.line, f"{e.what} passes no sign-in") for e, v in verdicts if v is False
        ),
    )


def _elsewhere(survey: Survey, files: list[str], use: KafkaUse) -> list[str]:
    """Return the topics that a use names by constants of other files."""
    out = []
    for name in use.topic_names:
        for path in files:
            if name in survey.python[path].constants:
                out.append(survey.python[path].constants[name])
                break
    return out


def verdict(survey: Survey, files: list[str], path: str, use: KafkaUse) -> bool | None:
    """Return whether one construction passes a sign-in, following dictionaries and helper functions."""
    if use.sasl is not None:
        return use.sasl
    keys, unknown, seen = use.table.keys, use.table.open, set(use.table.spreads)
    pending = list(use.table.spreads)
    plain = use.table.plaintext
    while pending:
        name = pending.pop()
        found = _lookup(survey, files, path, name)
        unknown = unknown or found is None
        if found is not None:
            keys |= found.keys
            plain = plain or found.plaintext
            unknown = unknown or found.open
            pending += [n for n in found.spreads if n not in seen]
            seen |= set(found.spreads)
    if signs_in(Table(keys, plaintext=plain)):
        return True
    if use.wrapper:
        given = [w for p in files if (w := survey.python[p].calls.get(use.wrapper)) is not None]
        words = frozenset().union(*given)
        if words & SASL_WORDS:
            return True
        unknown = unknown or not given or "**" in words
    return None if unknown else False


def _lookup(survey: Survey, files: list[str], path: str, name: str) -> Table | None:
    own = survey.python[path].tables.get(name)
    if own is not None:
        return own
    for other in files:
        found = survey.python[other].tables.get(name)
        if found is not None and any(
            k in SASL_WORDS or "bootstrap" in k or "group" in k for k in found.keys | set(found.spreads)
        ):
            return found
    return None


def _capable(survey: Survey, files: list[str], verdicts: list[bool | None]) -> bool | None:
    """Return whether every client can sign in; what one call alone can't tell, the loaded modules may."""
    if not verdicts:
        return None
    if any(v is False for v in verdicts):
        return False
    if all(verdicts):
        return True
    return True if any(survey.python[p].sasl_words for p in files) else None
