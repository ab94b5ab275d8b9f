"""The API: takes tickets, stores them, and hands each message to the worker over Kafka."""

import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel, Field

from src import db
from src.config import get_settings
from src.kafka_client import Producer

logger = logging.getLogger("helpdesk.api")


class NewTicket(BaseModel):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)
    subject: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=20_000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = get_settings()
    logging.basicConfig(level=settings.log_level.upper())
    app.state.pool = await db.open_pool(settings)
    app.state.producer = Producer(settings)
    await app.state.producer.start()
    logger.info("ready")
    try:
        yield
    finally:
        await app.state.producer.stop()
        await app.state.pool.close()


app = FastAPI(title="Helpdesk", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=get_settings().cors_origins,
    allow_methods=["GET", "POST"],
    allow_headers=["Content-Type"],
)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/ready")
async def ready(request: Request) -> dict[str, str]:
    """Look at the database and the broker."""
    try:
        await request.app.state.pool.fetchval("SELECT 1")
        reachable = await request.app.state.producer.ready()
    except Exception as error:
        logger.warning("not ready: %s", type(error).__name__)
        raise HTTPException(503, "not ready") from None
    if not reachable:
        raise HTTPException(503, "the topic does not exist")
    return {"status": "ready"}


async def take(request: Request, ticket: NewTicket) -> dict[str, str]:
    ticket_id, message_id = await db.create_ticket(
        request.app.state.pool, ticket.email, ticket.subject, ticket.body
    )
    await request.app.state.producer.send(
        str(ticket_id), {"message_id": str(message_id), "body": ticket.body}
    )
    return {"id": str(ticket_id)}


@app.post("/api/tickets", status_code=202)
async def create_ticket(request: Request, ticket: NewTicket) -> dict[str, str]:
    return await take(request, ticket)


@app.get("/api/tickets/{ticket_id}")
async def read_ticket(request: Request, ticket_id: UUID) -> dict[str, str]:
    status = await db.ticket_status(request.app.state.pool, ticket_id)
    if status is None:
        raise HTTPException(404, "no such ticket")
    return {"id": str(ticket_id), "status": status}


@app.post("/webhooks/inbound", status_code=202)
async def inbound(request: Request, x_signature: str = Header()) -> dict[str, str]:
    """Take a message from another system, signed with HMAC-SHA256 over the body."""
    body = await request.body()
    wanted = hmac.new(get_settings().webhook_secret_key.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), x_signature.encode()):
        raise HTTPException(401, "the signature does not match")
    return await take(request, NewTicket.model_validate_json(body))
