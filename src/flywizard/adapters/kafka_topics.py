"""Owns what is asked about topics and groups: whether they are there, what may be done, and creating topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flywizard.adapters import kafka_wire as wire
from flywizard.adapters.kafka_connection import Connection
from flywizard.adapters.sockets import StageError

UNKNOWN_TOPIC: Final = 3
COORDINATOR_NOT_AVAILABLE: Final = 15
TOPIC_DENIED: Final = 29
GROUP_DENIED: Final = 30
TOPIC_EXISTS: Final = 36
WORDS: Final[Mapping[int, str]] = {
    14: "the group is being loaded",
    15: "no coordinator yet",
    17: "the name is not a valid topic name",
    TOPIC_DENIED: "no right",
    31: "no right on the cluster",
    37: "the number of partitions is not allowed",
    38: "the replication factor is not allowed",
    41: "only the controller may do that",
    44: "a policy of the cluster forbids it",
}


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One topic of the proof."""

    name: str
    state: str
    """present · missing."""
    partitions: int
    allowed: tuple[str, ...] | None
    text: str
    code: str = ""
    """``topic_missing`` · ``topic_rights``: worth a warning."""

    def facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        allowed = None if self.allowed is None else list(self.allowed)
        return {"state": self.state, "partitions": self.partitions, "operations": allowed}


async def read_topics(
    connection: Connection, found: wire.Metadata, names: Sequence[str], left: Callable[[], float]
) -> tuple[Sequence[TopicRow], Sequence[str]]:
    """Say of each topic what is known, and which of them are missing but may be created.

    Raises:
        StageError: ``topic_denied`` · ``topic_refused`` · ``topic_invalid`` · ``topic``.
    """
    rows: list[TopicRow] = []
    missing: list[str] = []
    by_name = {topic.name: topic for topic in found.topics}
    for name in names:
        topic = by_name.get(name)
        error = UNKNOWN_TOPIC if topic is None else topic.error
        if topic is not None and error in (0, 5):
            rows.append(_present(topic))
        elif error == UNKNOWN_TOPIC:
            missing.append(name)
        elif error == TOPIC_DENIED:
            raise StageError(
                "topic_denied", f"topic {name} is missing, or this user may not see it (error 29)", topic=name
            )
        elif error == 17:
            raise StageError("topic_invalid", f"{name!r} is not a valid topic name", topic=name)
        else:
            raise StageError("topic", f"topic {name}: {WORDS.get(error, f'error {error}')}", topic=name)
    if missing:
        rows += await _missing(connection, missing, left)
    return rows, missing


def _present(topic: wire.Topic) -> TopicRow:
    parts = f"{topic.partitions} partition{'' if topic.partitions == 1 else 's'}"
    if topic.allowed is None:
        return TopicRow(topic.name, "present", topic.partitions, None, f"{topic.name}: {parts}")
    may = ", ".join(topic.allowed)
    lacking = [op for op in ("READ", "WRITE") if op not in topic.allowed]
    text = f"{topic.name}: {parts}, this user may {may or 'nothing'}"
    if lacking:
        text += f", not {' or '.join(lacking)}"
    code = "topic_rights" if lacking else ""
    return TopicRow(topic.name, "present", topic.partitions, topic.allowed, text, code)


async def _missing(
    connection: Connection, names: Sequence[str], left: Callable[[], float]
) -> Sequence[TopicRow]:
    if not connection.has(wire.CREATE_TOPICS, 4):
        text = "missing; whether it may be created is not known"
        return [TopicRow(n, "missing", 0, None, f"{n}: {text}", "topic_missing") for n in names]
    body = wire.create_topics_request(names, validate_only=True, timeout_ms=int(left() * 1000))
    answers = wire.create_topics(await connection.ask(wire.CREATE_TOPICS, 4, body, left()))
    rows: list[TopicRow] = []
    for name in names:
        error, words = answers.get(name, (0, ""))
        if error == 17:
            raise StageError("topic_invalid", f"{name!r} is not a valid topic name", topic=name)
        if error not in (0, TOPIC_EXISTS):
            reason = words or WORDS.get(error, f"error {error}")
            raise StageError(
                "topic_refused", f"topic {name} is missing, and creating it is refused: {reason}", topic=name
            )
        rows.append(TopicRow(name, "missing", 0, None, f"{name}: missing, may be created", "topic_missing"))
    return rows


async def read_group(connection: Connection, group: str, left: Callable[[], float]) -> str:
    """Ask for the coordinator of a consumer group; return one line about it.

    Raises:
        StageError: ``group_denied`` · ``group``.
    """
    if not connection.has(wire.FIND_COORDINATOR, 1):
        return f"group {group}: not asked"
    error = 0
    for attempt in range(10):
        answer = await connection.ask(wire.FIND_COORDINATOR, 1, wire.string(group) + b"\x00", left())
        answer.int32()
        error = answer.int16()
        if error not in (14, COORDINATOR_NOT_AVAILABLE) or left() < 0.4:
            break
        if attempt < 9:
            await asyncio.sleep(0.3)
    if error == GROUP_DENIED:
        raise StageError(
            "group_denied", f"this user may not use the consumer group {group} (error 30)", group=group
        )
    if error and error not in (14, COORDINATOR_NOT_AVAILABLE):
        raise StageError("group", f"group {group}: {WORDS.get(error, f'error {error}')}", group=group)
    return f"group {group}: {'still being prepared' if error else 'may be used'}"


async def create(
    connection: Connection, names: Sequence[str], left: Callable[[], float]
) -> Mapping[str, str]:
    """Create topics with the broker's defaults; return name → ``created`` or ``exists``.

    Raises:
        StageError: ``topic_refused`` · ``silent`` · ``too_old``.
    """
    if not names:
        return {}
    if not connection.has(wire.CREATE_TOPICS, 4):
        raise StageError("too_old", "this broker cannot create topics on request; create them in its console")
    body = wire.create_topics_request(names, validate_only=False, timeout_ms=int(left() * 1000))
    try:
        answers = wire.create_topics(await connection.ask(wire.CREATE_TOPICS, 4, body, left()))
    except TimeoutError:
        raise StageError("silent", "the broker does not say in time whether it made the topics") from None
    except wire.WireError:
        raise StageError("garbled", "the answer about the topics cannot be read") from None
    result: dict[str, str] = {}
    for name in names:
        error, words = answers.get(name, (-1, ""))
        if error not in (0, TOPIC_EXISTS):
            reason = words or WORDS.get(error, f"error {error}")
            raise StageError("topic_refused", f"creating topic {name} is refused: {reason}", topic=name)
        result[name] = "exists" if error else "created"
    return result
