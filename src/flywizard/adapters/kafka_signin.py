"""Owns the sign-in to a broker: which mechanisms it offers, PLAIN and SCRAM, and what its refusals mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from flywizard.adapters import kafka_wire as wire
from flywizard.adapters.kafka_connection import Connection
from flywizard.adapters.sockets import StageError, loopback
from flywizard.ports import KafkaSettings

UNSUPPORTED_MECHANISM: Final = 33
ILLEGAL_STATE: Final = 34
REFUSED: Final = 58


def may_send_readable(host: str) -> bool:
    """Tell whether a password may go unencrypted: to this machine, or inside Fly's private network."""
    return loopback(host) or host.lower().rstrip(".").endswith(".internal")


async def _handshake(connection: Connection, mechanism: str, timeout: float) -> tuple[int, Sequence[str]]:
    if not connection.has(wire.SASL_HANDSHAKE, 1):
        raise StageError("no_sasl_here", "this listener knows no sign-in with user and password")
    answer = await connection.ask(wire.SASL_HANDSHAKE, 1, wire.string(mechanism), timeout)
    error = answer.int16()
    return error, tuple(answer.array(answer.string))


async def offered(connection: Connection, timeout: float) -> Sequence[str]:
    """Ask a listener which mechanisms it demands, by naming one that nobody has; () where it wants none.

    Raises:
        TimeoutError: no answer in time.
    """
    try:
        error, mechanisms = await _handshake(connection, "NONE", timeout)
    except StageError:
        return ()
    return mechanisms if error in (0, UNSUPPORTED_MECHANISM) else ()


async def sign_in(
    connection: Connection, settings: KafkaSettings, left: Callable[[], float]
) -> Sequence[str]:
    """Sign in, and return the mechanisms the broker offers.

    Raises:
        StageError: ``plain_unencrypted`` · ``mechanism`` · ``no_sasl_here`` · ``credentials`` ·
            ``server_proof`` · ``sasl`` · ``closed``.
        TimeoutError: no answer in time.
    """
    if (
        settings.mechanism == "PLAIN"
        and not settings.protocol.endswith("SSL")
        and not may_send_readable(connection.host)
    ):
        raise StageError(
            "plain_unencrypted",
            "PLAIN would send the password readable over this unencrypted connection; it was not sent",
        )
    error, mechanisms = await _handshake(connection, settings.mechanism, left())
    names = ", ".join(mechanisms)
    if error == UNSUPPORTED_MECHANISM:
        raise StageError(
            "mechanism",
            f"{settings.mechanism} is not enabled; the broker offers {names or 'none'}",
            mechanisms=list(mechanisms),
        )
    if error == ILLEGAL_STATE:
        raise StageError("no_sasl_here", "this listener takes no user and password (error 34)")
    if error:
        raise StageError("sasl", f"the broker refused the sign-in (error {error})", error=error)
    username = settings.username.reveal() if settings.username else ""
    password = settings.password.reveal() if settings.password else ""
    if settings.mechanism == "PLAIN":
        await _exchange(connection, f"\0{username}\0{password}".encode(), left())
        return mechanisms
    client = wire.ScramClient(settings.mechanism, username, password)
    first = await _exchange(connection, client.first(), left())
    try:
        proof = await asyncio.to_thread(client.final, first)
    except wire.ScramError as problem:
        raise StageError("server_proof", str(problem)) from None
    if not client.accepts(await _exchange(connection, proof, left())):
        raise StageError(
            "server_proof", "the broker could not prove that it knows the password: it may be an impostor"
        )
    return mechanisms


async def _exchange(connection: Connection, message: bytes, timeout: float) -> bytes:
    answer = await connection.ask(wire.SASL_AUTHENTICATE, 0, wire.blob(message), timeout)
    error, text, reply = answer.int16(), answer.string(), answer.blob()
    if error == REFUSED:
        raise StageError("credentials", text or "Authentication failed")
    if error:
        raise StageError("sasl", f"the broker refused the sign-in: {text or f'error {error}'}", error=error)
    return reply
