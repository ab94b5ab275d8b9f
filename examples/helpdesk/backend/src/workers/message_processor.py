"""The worker: embeds each message and links the nearest article."""

import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from src import db
from src.config import Settings, get_settings
from src.kafka_client import consumer

logger = logging.getLogger("helpdesk.worker")

Embed = Callable[[str], Awaitable[list[float]]]


def embedder(client: httpx.AsyncClient, settings: Settings) -> Embed:
    async def embed(text: str) -> list[float]:
        response = await client.post(
            "https://api.openai.com/v1/embeddings",
            headers={"Authorization": f"Bearer {settings.openai_api_key}"},
            json={"model": "text-embedding-3-small", "input": text},
        )
        response.raise_for_status()
        return response.json()["data"][0]["embedding"]

    return embed


async def process(value: bytes, pool: asyncpg.Pool, embed: Embed) -> None:
    """Handle one message; a message that cannot be read is logged and passed over."""
    try:
        message = json.loads(value)
        message_id, body = UUID(message["message_id"]), message["body"]
    except (ValueError, KeyError, TypeError):
        logger.warning("passed over a message that is not ours (%d bytes)", len(value))
        return
    found = await db.answer(pool, message_id, await embed(body))
    logger.info("message %s: %s", message_id, "answered" if found else "no article yet")


async def consume(source: Any, pool: asyncpg.Pool, embed: Embed, stop: asyncio.Event) -> None:
    """Handle batches until told to stop; each is committed after its last message."""
    while not stop.is_set():
        batches = await source.getmany(timeout_ms=1000, max_records=20)
        for records in batches.values():
            for record in records:
                await process(record.value, pool, embed)
        if batches:
            await source.commit()


async def run() -> None:
    settings = get_settings()
    logging.basicConfig(level=settings.log_level.upper())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pool = await db.open_pool(settings)
    source = consumer(settings)
    try:
        await source.start()
        logger.info("consuming %s as %s", settings.kafka_topic, settings.kafka_group)
        async with httpx.AsyncClient(timeout=30) as client:
            await consume(source, pool, embedder(client, settings), stop)
    finally:
        await source.stop()
        await pool.close()
        logger.info("stopped")


if __name__ == "__main__":
    asyncio.run(run())
