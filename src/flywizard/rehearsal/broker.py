"""Owns the stand-in Kafka broker of a rehearsal: it answers what the proof asks, and fails on request.

It keeps no records. On loopback and without TLS unless a context is handed in; compared with a real broker in
the tests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import re
import secrets
import ssl
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from flywizard.adapters import kafka_wire as wire

Fault: TypeAlias = Literal["refuse-credentials", "silent", "close", "close-after-reading", "slow"]
VERSIONS: Final[Mapping[int, tuple[int, int]]] = {
    wire.METADATA: (0, 8),
    wire.FIND_COORDINATOR: (0, 2),
    wire.SASL_HANDSHAKE: (0, 1),
    wire.API_VERSIONS: (0, 0),
    wire.CREATE_TOPICS: (2, 4),
    wire.SASL_AUTHENTICATE: (0, 0),
}
ALL: Final = ("READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS")
ROUNDS: Final = 4096
_VALID: Final = re.compile(r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$")


@dataclass(slots=True, repr=False)
class BrokerSettings:
    """What the stand-in knows and how it behaves; may be changed while it runs."""

    users: dict[str, str] = field(default_factory=dict)
    """User to password."""
    admins: Collection[str] | None = None
    """Users who may do everything; None: all of them. The others may see nothing."""
    mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    """() for a listener without sign-in."""
    topics: dict[str, int] = field(default_factory=dict)
    """Topic to its number of partitions."""
    advertised: tuple[str, int] | None = None
    """Where clients are sent; None: where they came to."""
    fault: Fault | None = None
    any_credentials: bool = False
    """Accept every user and password by PLAIN (SCRAM needs a known password)."""
    cluster: str = "rehearsal"
    delay: float = 0.1
    """Seconds before a refused sign-in is answered."""


class _Session:
    """What one connection has reached."""

    def __init__(self) -> None:
        self.mechanism = ""
        self.user: str | None = None
        self.scram: tuple[str, str, str, wire.ScramProof] | None = None


class StandInBroker:
    """A broker of one node on loopback."""

    def __init__(
        self,
        settings: BrokerSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.settings = settings or BrokerSettings()
        self.host = host
        self.port = port
        """The port in use after ``start``."""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> StandInBroker:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, EOFError, ssl.SSLError, wire.WireError):
            pass  # the client went away, or is no Kafka client
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session()
        if self.settings.fault == "close":
            return
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            if not 8 <= size <= 1_000_000:
                return
            request = wire.Reader(await reader.readexactly(size))
            key, version, correlation = request.int16(), request.int16(), request.int32()
            request.nullable()
            match self.settings.fault:
                case "silent":
                    await asyncio.Event().wait()
                case "close-after-reading":
                    return
                case "slow":
                    await asyncio.sleep(1.0)
            answer = await self._answer(session, key, version, request)
            if answer is None:
                return
            writer.write(wire.frame(struct.pack(">i", correlation) + answer[0]))
            await writer.drain()
            if answer[1]:
                return

    async def _answer(
        self, session: _Session, key: int, version: int, request: wire.Reader
    ) -> tuple[bytes, bool] | None:
        """Return (body, whether to close afterwards); None closes at once."""
        low, high = VERSIONS.get(key, (0, -1))
        if key == wire.API_VERSIONS:
            rows = wire.array(struct.pack(">hhh", k, *span) for k, span in VERSIONS.items())
            return struct.pack(">h", 0 if version <= high else 35) + rows, False
        if not low <= version <= high:
            return None
        if key == wire.SASL_HANDSHAKE:
            return await self._handshake(session, request.string())
        if key == wire.SASL_AUTHENTICATE:
            return await self._authenticate(session, request.blob())
        if self.settings.mechanisms and session.user is None:
            return None
        match key:
            case wire.METADATA:
                return self._metadata(session, version, request), False
            case wire.CREATE_TOPICS:
                return self._create(session, request), False
            case wire.FIND_COORDINATOR:
                return self._coordinator(session, version, request), False
        return None

    async def _handshake(self, session: _Session, mechanism: str) -> tuple[bytes, bool]:
        offered = self.settings.mechanisms
        names = wire.array(wire.string(name) for name in offered)
        if not offered:
            return struct.pack(">h", 34) + names, False
        if mechanism not in offered:
            await asyncio.sleep(self.settings.delay)
            return struct.pack(">h", 33) + names, True
        session.mechanism, session.scram = mechanism, None
        return struct.pack(">h", 0) + names, False

    async def _authenticate(self, session: _Session, message: bytes) -> tuple[bytes, bool]:
        reply: bytes | None
        if not session.mechanism:
            return struct.pack(">h", 34) + wire.string("sign-in was not begun") + wire.blob(b""), True
        if session.mechanism == "PLAIN":
            reply = self._plain(session, message)
        else:
            reply = await self._scram(session, message)
        if reply is not None:
            return struct.pack(">h", 0) + wire.string(None) + wire.blob(reply), False
        await asyncio.sleep(self.settings.delay)
        words = (
            "Authentication failed: Invalid username or password"
            if session.mechanism == "PLAIN"
            else "Authentication failed during authentication due to invalid credentials with SASL mechanism "
            + session.mechanism
        )
        return struct.pack(">h", 58) + wire.string(words) + wire.blob(b""), True

    def _refused(self) -> bool:
        return self.settings.fault == "refuse-credentials"

    def _plain(self, session: _Session, message: bytes) -> bytes | None:
        parts = message.split(b"\0")
        if len(parts) != 3 or self._refused():
            return None
        user, password = parts[1].decode("utf-8", "replace"), parts[2]
        known = self.settings.users.get(user)
        right = known is not None and hmac.compare_digest(known.encode(), password)
        if not right and not (self.settings.any_credentials and user and password):
            return None
        session.user = user
        return b""

    async def _scram(self, session: _Session, message: bytes) -> bytes | None:
        algorithm = wire.scram_hash(session.mechanism)
        text = message.decode("utf-8", "replace")
        fields = dict(piece.split("=", 1) for piece in text.split(",") if "=" in piece)
        if session.scram is None:
            user = fields.get("n", "").replace("=2C", ",").replace("=3D", "=")
            password = None if self._refused() else self.settings.users.get(user)
            if password is None or "r" not in fields:
                return None
            salt = secrets.token_bytes(16)
            first = (
                f"r={fields['r']}{secrets.token_urlsafe(18)},s={base64.b64encode(salt).decode()},i={ROUNDS}"
            )
            keys = await asyncio.to_thread(wire.scram_keys, algorithm, password, salt, ROUNDS)
            session.scram = (user, text.split(",", 2)[2], first, keys)
            return first.encode()
        user, bare, first, keys = session.scram
        session.scram = None
        without_proof, _, proof = text.rpartition(",p=")
        whole = f"{bare},{first},{without_proof}".encode()
        if not first.startswith(f"r={fields.get('r', '')},"):
            return None
        signature = hmac.digest(keys.stored_key, whole, algorithm)
        expected = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
        if not hmac.compare_digest(base64.b64encode(expected), proof.encode()):
            return None
        session.user = user
        return b"v=" + base64.b64encode(hmac.digest(keys.server_key, whole, algorithm))

    def _may(self, session: _Session) -> bool:
        admins = self.settings.admins
        return admins is None or session.user is None or session.user in admins

    def _metadata(self, session: _Session, version: int, request: wire.Reader) -> bytes:
        wanted = request.array(request.string)
        host, port = self.settings.advertised or (self.host, self.port)
        may = self._may(session)
        bits = struct.pack(">i", wire.operation_bits(ALL if may else ()))
        rows: list[bytes] = []
        for name in wanted:
            count = self.settings.topics.get(name)
            error = 17 if not _VALID.match(name) else 29 if not may else 3 if count is None else 0
            partitions = wire.array(_partition(i, version) for i in range((count or 0) if not error else 0))
            row = struct.pack(">h", error) + wire.string(name) + b"\x00" + partitions
            rows.append(row + (bits if version >= 8 else b""))
        brokers = wire.array(
            [struct.pack(">i", 1) + wire.string(host) + struct.pack(">i", port) + wire.string(None)]
        )
        cluster = wire.string(self.settings.cluster) + struct.pack(">i", 1)
        return struct.pack(">i", 0) + brokers + cluster + wire.array(rows) + (bits if version >= 8 else b"")

    def _create(self, session: _Session, request: wire.Reader) -> bytes:
        def row() -> tuple[str, int]:
            name, partitions, _ = request.string(), request.int32(), request.int16()
            request.array(lambda: (request.int32(), request.array(request.int32)))
            request.array(lambda: (request.string(), request.nullable()))
            return name, partitions

        asked = request.array(row)
        request.int32()
        validate_only = bool(request.int8())
        answers: list[bytes] = []
        for name, partitions in asked:
            error, words = 0, None
            if not self._may(session):
                error, words = 29, "Authorization failed."
            elif name in self.settings.topics:
                error, words = 36, f"Topic '{name}' already exists."
            elif not validate_only:
                self.settings.topics[name] = max(partitions, 1)
            answers.append(wire.string(name) + struct.pack(">h", error) + wire.string(words))
        return struct.pack(">i", 0) + wire.array(answers)

    def _coordinator(self, session: _Session, version: int, request: wire.Reader) -> bytes:
        error = 0 if self._may(session) else 30
        host, port = self.settings.advertised or (self.host, self.port)
        node = (1, host, port) if not error else (-1, "", -1)
        head = struct.pack(">i", 0) if version >= 1 else b""
        head += struct.pack(">h", error) + (wire.string(None) if version >= 1 else b"")
        return head + struct.pack(">i", node[0]) + wire.string(node[1]) + struct.pack(">i", node[2])


def _partition(index: int, version: int) -> bytes:
    body = struct.pack(">hii", 0, index, 1) + (struct.pack(">i", 0) if version >= 7 else b"")
    nodes = wire.array([struct.pack(">i", 1)])
    return body + nodes + nodes + (wire.array([]) if version >= 5 else b"")
