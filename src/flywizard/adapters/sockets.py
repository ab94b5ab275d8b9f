"""Owns the first steps of every staged proof: resolve a name, connect to one of its addresses, say what failed.

Used by the Kafka and the Postgres proof; knows neither protocol and sends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PRIVATE_SUFFIXES: Final = (".internal", ".flycast", ".flympg.net")
"""Names that exist only inside Fly's private network."""


class StageError(Exception):
    """A stage failed: a stable code, a sentence, and facts. Never holds a secret."""

    def __init__(self, code: str, text: str, **data: Any) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.data: Mapping[str, Any] = data


@dataclass(frozen=True, slots=True)
class Address:
    """One resolved address."""

    family: int
    sockaddr: Any
    """As ``getaddrinfo`` gives it: (address, port) or (address, port, flow, scope)."""

    @property
    def text(self) -> str:
        """Return the bare address."""
        return str(self.sockaddr[0])


def private_name(host: str) -> bool:
    """Tell whether the name exists only inside Fly's private network."""
    return host.lower().rstrip(".").endswith(PRIVATE_SUFFIXES)


def loopback(host: str) -> bool:
    """Tell whether the host is this machine by its spelling (``localhost``, 127.…, ::1)."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def spelled(host: str, port: int) -> str:
    """Return ``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve(host: str, port: int, timeout: float) -> Sequence[Address]:
    """Ask for all addresses (A and AAAA) within ``timeout`` seconds.

    Raises:
        StageError: ``dns`` · ``dns_timeout`` · ``private_name``.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise StageError(
            "dns_timeout", f"nobody answered within {timeout:.0f} s what address {host} has"
        ) from None
    except (OSError, UnicodeError) as error:
        if private_name(host):
            raise StageError(
                "private_name",
                f"{host} exists only inside Fly's private network; this machine cannot resolve it",
            ) from None
        reason = getattr(error, "strerror", None) or "not a name that can be asked for"
        raise StageError("dns", f"{host} does not resolve: {reason}") from None
    seen: dict[str, Address] = {}
    for family, _, _, _, sockaddr in found:
        seen.setdefault(str(sockaddr[0]), Address(family, sockaddr))
    return tuple(seen.values())


async def connect(
    host: str, port: int, addresses: Sequence[Address], timeout: float
) -> tuple[socket.socket, str]:
    """Connect to the first address that answers; ``timeout`` is for all together. Give (socket, address).

    Raises:
        StageError: ``refused`` · ``tcp_timeout`` · ``unreachable``.
    """
    loop = asyncio.get_running_loop()
    reasons: list[tuple[str, str]] = []
    share = timeout / max(len(addresses), 1)
    for address in addresses:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(share):
                await loop.sock_connect(sock, address.sockaddr)
        except TimeoutError:
            sock.close()
            reasons.append(("tcp_timeout", f"{address.text} does not answer"))
        except OSError as error:
            sock.close()
            if error.errno in (errno.ECONNREFUSED, getattr(errno, "WSAECONNREFUSED", -1)):
                reasons.append(("refused", f"{address.text} refused"))
            else:
                reasons.append(("unreachable", f"{address.text}: {error.strerror or 'cannot be reached'}"))
        except BaseException:
            sock.close()
            raise
        else:
            return sock, address.text
    codes = [code for code, _ in reasons]
    code = next((c for c in ("refused", "tcp_timeout") if c in codes), "unreachable")
    words = ", ".join(text for _, text in reasons)
    if code == "tcp_timeout":
        words += " (wrong port, firewall or IP allow-list)"
    raise StageError(code, f"{spelled(host, port)}: {words}")


def certificate(peer: Mapping[str, Any] | None) -> dict[str, str]:
    """Return subject, issuer and not_after of ``SSLObject.getpeercert()``; empty where it was not checked."""

    def name(field: str) -> str:
        parts = {key: value for entry in (peer or {}).get(field, ()) for key, value in entry}
        return str(parts.get("commonName") or parts.get("organizationName") or "")

    if not peer:
        return {}
    names = ", ".join(str(value) for _, value in peer.get("subjectAltName", ())[:4])
    return {
        "subject": name("subject") or names,
        "names": names,
        "issuer": name("issuer"),
        "not_after": str(peer.get("notAfter", "")),
    }


CERTIFICATE_CODES: Final[Mapping[int, str]] = {
    10: "cert_expired",
    9: "cert_not_yet",
    18: "self_signed",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    62: "hostname",
    64: "hostname",
}
"""OpenSSL's verify codes; the rest is ``tls_refused``."""


def certificate_failure(host: str, error: ssl.SSLCertVerificationError) -> StageError:
    """Turn a refused certificate into its code."""
    code = CERTIFICATE_CODES.get(error.verify_code, "tls_refused")
    return StageError(code, f"the certificate of {host} is refused: {error.verify_message}")


def client_certificate_wanted(error: ssl.SSLError) -> bool:
    """Tell whether the other side ended the connection because we showed no certificate."""
    reason = str(error.reason or error).upper()
    return "CERTIFICATE_REQUIRED" in reason or "ALERT_BAD_CERTIFICATE" in reason


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection without waiting for the other side."""
    writer.transport.abort()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
