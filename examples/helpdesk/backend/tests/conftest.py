"""A pool and a producer that remember; nothing leaves the process."""

import uuid
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "OPENAI_API_KEY": "not-a-key",
    "WEBHOOK_SECRET_KEY": "test-signing-key",
    "CORS_ORIGINS": '["http://web.test"]',
}


class FakePool:
    def __init__(self) -> None:
        self.statements: list[tuple[str, tuple[object, ...]]] = []
        self.answers: dict[str, object] = {}
        self.broken = False

    @asynccontextmanager
    async def acquire(self):
        yield self

    @asynccontextmanager
    async def transaction(self):
        yield

    async def fetchval(self, sql: str, *arguments: object) -> object:
        if self.broken:
            raise ConnectionError("no database")
        self.statements.append((sql, arguments))
        for start, value in self.answers.items():
            if sql.startswith(start):
                return value
        return uuid.UUID(int=len(self.statements))

    async def execute(self, sql: str, *arguments: object) -> None:
        self.statements.append((sql, arguments))

    async def close(self) -> None:
        return None


class FakeProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.topic_exists = True

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def send(self, key: str, value: dict[str, str]) -> None:
        self.sent.append((key, value))

    async def ready(self) -> bool:
        return self.topic_exists


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from src.config import get_settings

    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def pool():
    return FakePool()


@pytest.fixture
def client(monkeypatch, pool):
    from fastapi.testclient import TestClient

    from src import main

    producer = FakeProducer()

    async def open_pool(_settings):
        return pool

    monkeypatch.setattr(main.db, "open_pool", open_pool)
    monkeypatch.setattr(main, "Producer", lambda _settings: producer)
    with TestClient(main.app) as http:
        yield SimpleNamespace(http=http, pool=pool, producer=producer)
