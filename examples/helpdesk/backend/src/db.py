"""The connection pool, and the few statements that the API and the worker share."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from src.config import Settings


async def open_pool(settings: Settings) -> asyncpg.Pool:
    return await asyncpg.create_pool(settings.database_url, min_size=1, max_size=settings.database_pool_size)


async def create_ticket(pool: asyncpg.Pool, email: str, subject: str, body: str) -> tuple[UUID, UUID]:
    """Store a ticket with its first message; return both ids."""
    async with pool.acquire() as connection, connection.transaction():
        customer = await connection.fetchval(
            "INSERT INTO customers (email) VALUES ($1)"
            " ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id",
            email,
        )
        ticket = await connection.fetchval(
            "INSERT INTO tickets (customer_id, subject) VALUES ($1, $2) RETURNING id", customer, subject
        )
        message = await connection.fetchval(
            "INSERT INTO messages (ticket_id, body) VALUES ($1, $2) RETURNING id", ticket, body
        )
    return ticket, message


async def ticket_status(pool: asyncpg.Pool, ticket: UUID) -> str | None:
    return await pool.fetchval("SELECT status FROM tickets WHERE id = $1", ticket)


async def answer(pool: asyncpg.Pool, message: UUID, embedding: Sequence[float]) -> bool:
    """Keep the embedding and link the nearest article; return whether there is one. Safe to repeat."""
    vector = "[" + ",".join(f"{value:.8f}" for value in embedding) + "]"
    async with pool.acquire() as connection, connection.transaction():
        article = await connection.fetchval(
            "SELECT id FROM articles WHERE embedding IS NOT NULL ORDER BY embedding <=> $1::vector LIMIT 1",
            vector,
        )
        await connection.execute(
            "UPDATE messages SET embedding = $2::vector, article_id = $3, processed_at = now() WHERE id = $1",
            message,
            vector,
            article,
        )
        if article is not None:
            await connection.execute(
                "UPDATE tickets SET status = 'answered' FROM messages"
                " WHERE messages.id = $1 AND tickets.id = messages.ticket_id",
                message,
            )
    return article is not None
