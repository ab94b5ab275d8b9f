"""Owns the Kafka wire encoding: frames, primitive types, the few requests we send and the SCRAM exchange.

All versions used here are non-flexible and understood by Kafka 4.x and by older brokers. Pure: no input or output.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

METADATA: Final = 3
FIND_COORDINATOR: Final = 10
SASL_HANDSHAKE: Final = 17
API_VERSIONS: Final = 18
CREATE_TOPICS: Final = 19
SASL_AUTHENTICATE: Final = 36

OPERATIONS: Final[Mapping[int, str]] = {
    3: "READ",
    4: "WRITE",
    5: "CREATE",
    6: "DELETE",
    7: "ALTER",
    8: "DESCRIBE",
    9: "CLUSTER_ACTION",
    10: "DESCRIBE_CONFIGS",
    11: "ALTER_CONFIGS",
    12: "IDEMPOTENT_WRITE",
}
NOT_GIVEN: Final = -2147483648
"""The operations field when the broker does not tell."""


class WireError(ValueError):
    """Bytes that are not the answer which was asked for."""


def string(value: str | None) -> bytes:
    """Encode a nullable string: int16 length, -1 for null."""
    if value is None:
        return struct.pack(">h", -1)
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def blob(value: bytes | None) -> bytes:
    """Encode nullable bytes: int32 length, -1 for null."""
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def array(items: Iterable[bytes]) -> bytes:
    """Encode an array of encoded items: int32 count."""
    encoded = list(items)
    return struct.pack(">i", len(encoded)) + b"".join(encoded)


def frame(payload: bytes) -> bytes:
    """Put the int32 size in front."""
    return struct.pack(">i", len(payload)) + payload


def request(
    key: int, version: int, correlation: int, body: bytes = b"", client_id: str | None = "flywizard"
) -> bytes:
    """Encode a whole request frame."""
    return frame(struct.pack(">hhi", key, version, correlation) + string(client_id) + body)


class Reader:
    """Reads primitive types from bytes; raises WireError where they end early."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._raw):
            raise WireError("the answer ends early")
        piece = self._raw[self._at : self._at + count]
        self._at += count
        return piece

    def int8(self) -> int:
        """Read one signed byte."""
        return int.from_bytes(self._take(1), "big", signed=True)

    def int16(self) -> int:
        """Read a signed 16-bit number."""
        return int.from_bytes(self._take(2), "big", signed=True)

    def int32(self) -> int:
        """Read a signed 32-bit number."""
        return int.from_bytes(self._take(4), "big", signed=True)

    def nullable(self) -> str | None:
        """Read a string or null; bytes that are not UTF-8 are replaced."""
        length = self.int16()
        return None if length == -1 else self._take(length).decode("utf-8", "replace")

    def string(self) -> str:
        """Read a string; null reads as empty."""
        return self.nullable() or ""

    def blob(self) -> bytes:
        """Read bytes; null reads as empty."""
        length = self.int32()
        return b"" if length == -1 else self._take(length)

    def array(self, item: Callable[[], T]) -> list[T]:
        """Read an array with ``item`` for each element; null reads as empty."""
        count = self.int32()
        if count > len(self._raw):
            raise WireError("the answer claims more elements than it has bytes")
        return [item() for _ in range(max(count, 0))]

    @property
    def rest(self) -> bytes:
        """Return what has not been read."""
        return self._raw[self._at :]


def operations(bits: int) -> tuple[str, ...] | None:
    """Turn an operations bit set into names; None where the broker did not tell."""
    if bits == NOT_GIVEN:
        return None
    return tuple(name for bit, name in OPERATIONS.items() if bits >> bit & 1)


def operation_bits(names: Iterable[str]) -> int:
    """Turn names of operations into the bit set."""
    numbers = {name: bit for bit, name in OPERATIONS.items()}
    return sum(1 << numbers[name] for name in set(names))


def api_versions(reader: Reader) -> tuple[int, dict[int, tuple[int, int]]]:
    """Read an ApiVersions v0 answer: (error, API key → (lowest, highest) version)."""
    error = reader.int16()
    rows = reader.array(lambda: (reader.int16(), reader.int16(), reader.int16()))
    return error, {key: (low, high) for key, low, high in rows}


@dataclass(frozen=True, slots=True)
class Broker:
    """A node as the cluster advertises it."""

    id: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of a Metadata answer; ``allowed`` is None where the broker does not tell."""

    error: int
    name: str
    partitions: int
    allowed: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a cluster says about itself."""

    brokers: tuple[Broker, ...]
    cluster: str
    controller: int
    topics: tuple[Topic, ...]
    allowed: tuple[str, ...] | None


def metadata_request(topics: Iterable[str], version: int) -> bytes:
    """Encode the body of Metadata v4 to v8; topics are never created by it."""
    body = array(string(name) for name in topics) + b"\x00"
    return body + b"\x01\x01" if version >= 8 else body


def metadata(reader: Reader, version: int) -> Metadata:
    """Read a Metadata answer, v4 to v8."""

    def broker() -> Broker:
        found = Broker(reader.int32(), reader.string(), reader.int32())
        reader.nullable()
        return found

    def partition() -> int:
        reader.int16()
        index = reader.int32()
        reader.int32()
        if version >= 7:
            reader.int32()
        for _ in range(3 if version >= 5 else 2):
            reader.array(reader.int32)
        return index

    def topic() -> Topic:
        error, name = reader.int16(), reader.string()
        reader.int8()
        count = len(reader.array(partition))
        return Topic(error, name, count, operations(reader.int32()) if version >= 8 else None)

    reader.int32()
    brokers = tuple(reader.array(broker))
    cluster = reader.string()
    controller = reader.int32()
    topics = tuple(reader.array(topic))
    return Metadata(
        brokers, cluster, controller, topics, operations(reader.int32()) if version >= 8 else None
    )


def create_topics_request(names: Iterable[str], *, validate_only: bool, timeout_ms: int) -> bytes:
    """Encode the body of CreateTopics v4, with the broker's own defaults for partitions and replicas."""
    rows = (string(name) + struct.pack(">ihii", -1, -1, 0, 0) for name in names)
    return array(rows) + struct.pack(">i?", timeout_ms, validate_only)


def create_topics(reader: Reader) -> dict[str, tuple[int, str]]:
    """Read a CreateTopics v2 to v4 answer: name → (error, the broker's words)."""
    reader.int32()
    rows = reader.array(lambda: (reader.string(), reader.int16(), reader.string()))
    return {name: (error, text) for name, error, text in rows}


class ScramError(ValueError):
    """The other side of a SCRAM exchange said something that it must not say."""


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def scram_hash(mechanism: str) -> str:
    """Return the hash name of ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``."""
    return {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]


@dataclass(frozen=True, slots=True, repr=False)
class ScramProof:
    """The keys of one password with one salt."""

    client_key: bytes
    stored_key: bytes
    server_key: bytes


def scram_keys(algorithm: str, password: str, salt: bytes, rounds: int) -> ScramProof:
    """Derive the keys of RFC 5802; slow on purpose, so run it in a thread."""
    salted = hashlib.pbkdf2_hmac(algorithm, _normal(password).encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", algorithm)
    return ScramProof(
        client, hashlib.new(algorithm, client).digest(), hmac.digest(salted, b"Server Key", algorithm)
    )


class ScramClient:
    """The client's half of one SCRAM exchange (no channel binding)."""

    def __init__(self, mechanism: str, username: str, password: str, nonce: str | None = None) -> None:
        self._algorithm = scram_hash(mechanism)
        self._password = password
        self._nonce = nonce or secrets.token_urlsafe(24)
        name = _normal(username).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._server_signature = b""

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the proof for the server's first message (slow: PBKDF2).

        Raises:
            ScramError: the server's message is not one, or its nonce does not continue ours.
        """
        text = server_first.decode("utf-8", "replace")
        fields = dict(piece.split("=", 1) for piece in text.split(",") if "=" in piece)
        try:
            nonce, salt, rounds = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise ScramError("the broker's first SCRAM message cannot be read") from error
        if not nonce.startswith(self._nonce) or not 1 <= rounds <= 1_000_000:
            raise ScramError("the broker's first SCRAM message does not belong to this sign-in")
        bare = f"c=biws,r={nonce}"
        whole = f"{self._bare},{text},{bare}".encode()
        keys = scram_keys(self._algorithm, self._password, salt, rounds)
        signature = hmac.digest(keys.stored_key, whole, self._algorithm)
        proof = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
        self._server_signature = hmac.digest(keys.server_key, whole, self._algorithm)
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def accepts(self, server_final: bytes) -> bool:
        """Tell whether the server proved that it knows the password too."""
        expected = b"v=" + base64.b64encode(self._server_signature)
        return bool(self._server_signature) and hmac.compare_digest(server_final.split(b",")[0], expected)
