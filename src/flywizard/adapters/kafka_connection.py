"""Owns one connection to a Kafka broker: TLS on a socket, requests and answers, and the look at what a port is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Final

from flywizard.adapters import kafka_wire as wire
from flywizard.adapters.sockets import (
    StageError,
    certificate,
    certificate_failure,
    client_certificate_wanted,
    close,
    connect,
    resolve,
)

BIGGEST: Final = 32 * 1024 * 1024
"""Bytes of an answer that we still read."""
BROKEN: Final = (OSError, EOFError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class Foreign:
    """What answered instead of what was expected."""

    kind: str
    """kafka · tls · postgres · http · ssh · redis · smtp · closed · silent · unknown."""

    @property
    def words(self) -> str:
        """Return it as the end of the sentence "this port belongs to …"."""
        return {
            "postgres": "PostgreSQL",
            "http": "a web server (HTTP)",
            "ssh": "SSH",
            "redis": "Redis",
            "smtp": "a mail or FTP server",
        }.get(self.kind, "another service")


def recognise(head: bytes) -> Foreign:
    """Say what the first bytes of an answer to ApiVersions v0 (correlation 1) belong to."""
    if len(head) >= 8 and head[4:8] == b"\x00\x00\x00\x01" and head[0] == 0:
        return Foreign("kafka")
    if head[:2] == b"\x15\x03":
        return Foreign("tls")
    if head[:4] == b"E\x00\x00\x00" or b"unsupported frontend protocol" in head:
        return Foreign("postgres")
    if head[:5] == b"HTTP/" or head[:1] == b"<":
        return Foreign("http")
    if head[:4] == b"SSH-":
        return Foreign("ssh")
    if head[:1] == b"-" and b"ERR" in head[:8]:
        return Foreign("redis")
    if head[:3] in (b"220", b"+OK", b"* O"):
        return Foreign("smtp")
    return Foreign("unknown" if head else "closed")


async def look(host: str, port: int, patience: float = 2.0) -> Foreign:
    """Open a new connection without TLS, send an ApiVersions request and say who answers. Sends no credentials.

    ``patience`` is in seconds, spent at most twice.
    """
    try:
        addresses = await resolve(host, port, patience)
        sock, _ = await connect(host, port, addresses, patience)
    except StageError:
        return Foreign("closed")
    try:
        reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        for question in (wire.request(wire.API_VERSIONS, 0, 1), b"HEAD / HTTP/1.0\r\n\r\n"):
            writer.write(question)
            try:
                async with asyncio.timeout(patience):
                    await writer.drain()
                    head = await reader.read(512)
            except TimeoutError:
                continue
            return recognise(head)
        return Foreign("silent")
    except BROKEN:
        return Foreign("closed")
    finally:
        await close(writer)


async def greets_tls(host: str, port: int, patience: float = 2.0) -> bool:
    """Tell whether the port completes a TLS greeting; its certificate is not looked at, and nothing is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        sock, _ = await connect(host, port, await resolve(host, port, patience), patience)
    except StageError:
        return False
    try:
        _, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=host, ssl_handshake_timeout=patience
        )
    except BROKEN:
        sock.close()
        return False
    except BaseException:
        sock.close()
        raise
    await close(writer)
    return True


class Connection:
    """One connection; requests go one after the other."""

    def __init__(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.host = host
        self.port = port
        self._reader = reader
        self._writer = writer
        self._correlation = 0
        self.versions: dict[int, tuple[int, int]] = {}

    @classmethod
    async def plain(cls, host: str, port: int, sock: socket.socket) -> Connection:
        """Take over a connected socket."""
        try:
            return cls(host, port, *await asyncio.open_connection(sock=sock))
        except BaseException:
            sock.close()
            raise

    @classmethod
    async def secured(
        cls, host: str, port: int, sock: socket.socket, context: ssl.SSLContext, timeout: float
    ) -> Connection:
        """Take over a connected socket and start TLS on it.

        Raises:
            StageError: a certificate's code · ``client_cert`` · ``plaintext_listener`` · ``not_kafka`` ·
                ``tls_timeout`` · ``tls_refused``.
        """
        try:
            streams = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=host, ssl_handshake_timeout=timeout
            )
        except ssl.SSLCertVerificationError as error:
            sock.close()
            raise certificate_failure(host, error) from None
        except BROKEN as error:
            sock.close()
            if isinstance(error, ssl.SSLError) and client_certificate_wanted(error):
                raise StageError("client_cert", CLIENT_CERTIFICATE) from None
            raise await cls._no_tls(host, port, error, timeout) from None
        except BaseException:
            sock.close()
            raise
        return cls(host, port, *streams)

    @staticmethod
    async def _no_tls(host: str, port: int, error: BaseException, timeout: float) -> StageError:
        found = await look(host, port, min(2.0, timeout / 2))
        match found.kind:
            case "kafka":
                return StageError("plaintext_listener", "this port speaks Kafka without TLS", service="kafka")
            case "postgres" | "http" | "ssh" | "redis" | "smtp":
                return StageError(
                    "not_kafka", f"this port belongs to {found.words}, not to Kafka", service=found.kind
                )
        if isinstance(error, TimeoutError) or "taking longer" in str(error):
            return StageError(
                "tls_timeout", "the port accepts connections but never answers the TLS greeting"
            )
        if isinstance(error, ssl.SSLError) and error.reason:
            return StageError("tls_refused", f"TLS failed: {str(error.reason).replace('_', ' ').lower()}")
        if found.kind == "closed":
            return StageError(
                "closed", "the port closes every connection at once (a proxy or an IP allow-list?)"
            )
        return StageError("tls_refused", "the other side ended the TLS greeting")

    def tls(self) -> dict[str, str]:
        """Return version, subject, issuer and not_after; empty without TLS."""
        ssl_object = self._writer.get_extra_info("ssl_object")
        if ssl_object is None:
            return {}
        return {"version": str(ssl_object.version()), **certificate(ssl_object.getpeercert())}

    async def ask(self, key: int, version: int, body: bytes, timeout: float) -> wire.Reader:
        """Send one request and return the body of its answer.

        Raises:
            TimeoutError: no answer within ``timeout`` seconds.
            StageError: ``tls_listener`` · ``not_kafka`` · ``client_cert`` · ``closed`` · ``garbled``.
        """
        self._correlation += 1
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(wire.request(key, version, self._correlation, body))
                await self._writer.drain()
                head = await self._reader.readexactly(8)
                size, correlation = struct.unpack(">ii", head)
                if correlation != self._correlation or not 4 <= size <= BIGGEST:
                    raise self._strange(head)
                return wire.Reader(await self._reader.readexactly(size - 4))
        except asyncio.IncompleteReadError as error:
            raise self._strange(error.partial) from None
        except ssl.SSLError as error:
            if client_certificate_wanted(error):
                raise StageError("client_cert", CLIENT_CERTIFICATE) from None
            raise StageError("closed", "the broker ended the TLS connection") from None
        except TimeoutError:
            raise
        except OSError:
            raise StageError("closed", CLOSED) from None

    @staticmethod
    def _strange(head: bytes) -> StageError:
        found = recognise(head)
        match found.kind:
            case "tls":
                return StageError(
                    "tls_listener", "this port speaks TLS: use SASL_SSL (or SSL)", service="tls"
                )
            case "closed":
                return StageError("closed", CLOSED)
            case "kafka" | "unknown" | "silent":
                return StageError("garbled", "the answer is not one of a Kafka broker")
        return StageError(
            "not_kafka", f"this port belongs to {found.words}, not to Kafka", service=found.kind
        )

    def has(self, key: int, version: int) -> bool:
        """Tell whether the broker understands this version of a request."""
        low, high = self.versions.get(key, (0, -1))
        return low <= version <= high

    async def close(self) -> None:
        """Close without waiting for the broker."""
        with contextlib.suppress(OSError):
            await close(self._writer)


TLS_LISTENER: Final = "this port speaks TLS: use SASL_SSL (or SSL)"
CLOSED: Final = "the broker closed the connection without an answer"
CLIENT_CERTIFICATE: Final = "this port wants a client certificate; user and password are for another port"
