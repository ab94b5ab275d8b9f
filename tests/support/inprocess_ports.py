"""Doors without sockets: databases whose tables are kept in memory, a tunnel to them, a broker that takes everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flywizard import sql_script
from flywizard.events import Problem, Remedy
from flywizard.plan import StepError
from flywizard.ports import KafkaSettings, Stage
from flywizard.vault import Secret

if TYPE_CHECKING:
    from tests.support.inprocess import Life, Platform


@dataclass(slots=True)
class Tables:
    """One database."""

    tables: set[str] = field(default_factory=set)
    extensions: dict[str, str] = field(default_factory=dict)
    applied: int = 0
    """Scripts that were committed."""


class MemoryDatabase:
    """The ``Database`` port: tables in memory; a script needs its extensions, and a second run is an error."""

    def __init__(self, platform: Platform, life: Life, ports_of: Mapping[int, str]) -> None:
        self._platform, self._life, self._ports = platform, life, ports_of

    def _of(self, url: Secret) -> Tables:
        self._life.check()
        for port, cluster in self._ports.items():
            if f":{port}/" in url.reveal():
                return self._platform.database(cluster)
        return self._platform.database(url.reveal())

    async def prove(
        self, url: Secret, extensions: Sequence[str] = (), timeout: float = 10.0
    ) -> AsyncIterator[Stage]:
        self._of(url)
        yield Stage("parse", "address", "ok")
        yield Stage("signin", "sign in", "ok", "as app")

    async def installed(self, url: Secret) -> Mapping[str, str]:
        return dict(self._of(url).extensions)

    async def enable(self, url: Secret, extension: str) -> None:
        self._of(url).extensions.setdefault(extension, "1.0")

    async def existing_tables(self, url: Secret, names: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(0.01)
        there = self._of(url).tables
        return [n for n in names if n in there]

    async def apply(self, url: Secret, sql: str, on_notice: Callable[[str], None] | None = None) -> int:
        tables = self._of(url)
        lack = [e for e in ("vector", "uuid-ossp") if e.split("-")[0] in sql and e not in tables.extensions]
        if lack:
            raise StepError(_problem("PG-EXTENSION", f"permission denied to create extension {lack[0]}"))
        await asyncio.sleep(0.5)
        self._life.check()
        tables.tables |= set(sql_script.tables_created(sql))
        tables.applied += 1
        await asyncio.sleep(0.5)
        self._life.check()
        return len(list(sql_script.split_statements(sql)))


def _problem(name: str, what: str) -> Problem:
    return Problem(name, what, "", (Remedy("retry", "Try again"),))


class MemoryTunnel:
    """The ``Tunnel`` port: a port number for each cluster that is ready."""

    def __init__(self, platform: Platform, life: Life, ports_of: dict[int, str]) -> None:
        self._platform, self._life, self._ports = platform, life, ports_of

    @asynccontextmanager
    async def open(self, cluster: str) -> AsyncIterator[tuple[str, int]]:
        self._life.check()
        if cluster not in self._platform.world.clusters:
            raise StepError(_problem("PG-25", "no such cluster"))
        port = 20_000 + len(self._ports)
        self._ports[port] = cluster
        await asyncio.sleep(0.3)
        try:
            yield "127.0.0.1", port
        finally:
            del self._ports[port]


class WillingKafka:
    """The ``Kafka`` port: every broker takes every sign-in."""

    async def prove(
        self,
        settings: KafkaSettings,
        topics: Sequence[str] = (),
        group: str | None = None,
        timeout: float = 8.0,
    ) -> AsyncIterator[Stage]:
        for stage, title in (("parse", "address"), ("tcp", "port"), ("sasl", "sign in"), ("topic", "topic")):
            yield Stage(stage, title, "ok")
