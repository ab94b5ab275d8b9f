"""Owns the guard's side towards flyctl: reading a request, writing an answer, noticing that nobody waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import h11
import httpx

from flywizard.guard_upstream import Headers, Request


@dataclass(slots=True)
class Answer:
    """What goes back to flyctl."""

    status: int
    headers: Headers
    body: bytes | httpx.Response
    """Whole, or still to be read from Fly."""
    note: str = ""


async def read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    """Return the next request with its body, or None when flyctl has closed."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(connection.send(go_on) or b"")
                connection.receive_data(await reader.read(65536))
            case h11.Request() as head:
                pass
            case h11.Data() as data:
                body += data.data
            case h11.EndOfMessage() if head is not None:
                headers = tuple((bytes(key), bytes(value)) for key, value in head.headers)
                return Request(head.method.decode(), bytes(head.target), headers, bytes(body))
            case _:
                return None


async def still_there(
    connection: h11.Connection, reader: asyncio.StreamReader, task: asyncio.Task[Answer]
) -> bool:
    """Wait for the answer; False when flyctl closed the connection before it came."""
    while not task.done():
        read = asyncio.ensure_future(reader.read(65536))
        try:
            await asyncio.wait({read, task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not read.done():
                read.cancel()
                await asyncio.gather(read, return_exceptions=True)
        if read.cancelled():
            break
        if read.exception() is not None or not read.result():
            return task.done()
        connection.receive_data(read.result())
    return True


async def write(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, method: str) -> int:
    """Send an answer, its head and first piece in one write; return the size of its body."""
    headers = list(answer.headers)
    if isinstance(answer.body, bytes) and not any(key.lower() == b"content-length" for key, _ in headers):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    out = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    size = 0
    if isinstance(answer.body, bytes):
        body = b"" if method == "HEAD" else answer.body
        size = len(body)
        out += connection.send(h11.Data(data=body)) or b""
    else:
        try:
            async for chunk in answer.body.aiter_raw():
                size += len(chunk)
                writer.write(out + (connection.send(h11.Data(data=chunk)) or b""))
                out = b""
                await writer.drain()
        finally:
            await answer.body.aclose()
    writer.write(out + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    return size
