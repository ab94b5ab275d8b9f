"""Owns the fixtures of the data room: certificates and a real broker, made once a run."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from flywizard.rehearsal import database
from tests.support import real_kafka, real_postgres
from tests.support.certificates import Authority, make_authority


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve ``localhost`` and addresses; every other name is unknown, without asking a name server."""
    ask = socket.getaddrinfo

    def answer(host: Any, *more: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "localhost"):
            try:
                ipaddress.ip_address(name)
            except ValueError:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        return ask(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority with good and bad server certificates."""
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def real_broker(authority: Authority) -> Iterator[real_kafka.RealKafka]:
    """A real Kafka broker, or a skip that says what is missing."""
    if reason := real_kafka.missing():
        pytest.skip(reason)
    with real_kafka.running(authority.folder, authority) as broker:
        yield broker


@pytest.fixture(scope="session")
def tls_postgres(authority: Authority) -> Iterator[real_postgres.TlsPostgres]:
    """A Debian Postgres with TLS, or a skip that says what is missing."""
    if reason := real_postgres.missing():
        pytest.skip(reason)
    with real_postgres.running(authority) as server:
        yield server


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[database.Running]:
    """The rehearsal's Postgres, or a skip with the reason it gives."""
    folder = tmp_path_factory.mktemp("rehearsed")
    try:
        server = asyncio.run(database.start(folder))
    except database.Unavailable as reason:
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        asyncio.run(database.remove(folder))
