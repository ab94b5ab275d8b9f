"""Owns the way into a Postgres: its answer to a TLS request, the sign-in by psycopg, and what its refusals mean."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flywizard import dsn
from flywizard.adapters.sockets import (
    StageError,
    certificate,
    certificate_failure,
    client_certificate_wanted,
    close,
)

if TYPE_CHECKING:
    import psycopg

SSL_REQUEST: Final = struct.pack(">ii", 8, 80877103)
_TEXTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        ("client_cert", r"requires? a (valid )?client certificate|certificate authentication failed"),
        (
            "tls_required",
            r"no pg_hba\.conf entry.*(no encryption|SSL off)|(SSL|TLS)\S* (connection )?(is )?required",
        ),
        ("tls_required", r"connection is insecure|SSL/TLS required|try using `?sslmode"),
        ("tls_missing", r"server does not support SSL"),
        ("pooler", r"unsupported startup parameter|tenant or user not found|server login (has been )?fail"),
        ("pooler", r"endpoint ID is not specified|query_wait_timeout|no more connections allowed"),
        ("database_missing", r"database \"?.*\"? does not exist|no such database"),
        ("role", r"role \".*\" does not exist|no such user|is not permitted to log in|no pg_hba\.conf entry"),
        ("password", r"password authentication failed|SASL authentication failed|authentication failed"),
        ("password", r"no password supplied|wrong password|empty password"),
        ("connect_denied", r"permission denied for database"),
        ("too_many", r"too many (clients|connections)|remaining connection slots"),
        ("starting", r"the database system is (starting|shutting|not (yet )?accepting|in recovery)"),
        ("silent", r"timeout expired|connection timeout"),
        ("refused", r"connection refused"),
        ("closed", r"server closed the connection|connection reset|broken pipe|closed unexpectedly"),
    )
)


def _recognise(answer: bytes) -> StageError:
    if not answer:
        return StageError("closed", "the port closes the connection at once")
    return StageError("not_postgres", "the answer is not one of a Postgres server")


def _context(place: dsn.Credentials) -> ssl.SSLContext:
    """Return what libpq would check for this ``sslmode``."""
    context = ssl.create_default_context()
    root = dict(place.query).get("sslrootcert", "")
    if root and root != "system":
        try:
            context = ssl.create_default_context(cafile=Path(root).expanduser())
        except (OSError, ssl.SSLError):
            raise StageError(
                "ca_file", "the file named by `sslrootcert` holds no certificate in PEM form"
            ) from None
    if place.sslmode != "verify-full":
        context.check_hostname = False
    if place.sslmode not in ("verify-ca", "verify-full"):
        context.verify_mode = ssl.CERT_NONE
    return context


async def secured(place: dsn.Credentials, sock: socket.socket, timeout: float) -> dict[str, str] | None:
    """Ask for TLS on a connected socket, which is closed afterwards; None where TLS is not used.

    Raises:
        StageError: ``tls_missing`` · a certificate's code · ``client_cert`` · ``tls_refused`` · ``ca_file`` ·
            ``not_postgres`` · ``silent`` · ``closed``.
    """
    mode = place.sslmode
    loop = asyncio.get_running_loop()
    try:
        context = _context(place)
        async with asyncio.timeout(timeout):
            await loop.sock_sendall(sock, SSL_REQUEST)
            answer = await loop.sock_recv(sock, 1)
    except TimeoutError:
        sock.close()
        raise StageError("silent", "the port accepts connections but does not answer like Postgres") from None
    except OSError:
        sock.close()
        raise StageError("closed", "the port closes the connection at once") from None
    except BaseException:
        sock.close()
        raise
    if answer != b"S":
        sock.close()
        if answer != b"N":
            raise _recognise(answer)
        if mode in ("disable", "allow", "prefer"):
            return None
        raise StageError("tls_missing", f"the server does not speak TLS, and the URL says sslmode={mode}")
    if mode in ("disable", "allow"):
        sock.close()
        return None
    try:
        _, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=place.host, ssl_handshake_timeout=timeout
        )
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise certificate_failure(place.host, error) from None
    except (OSError, EOFError) as error:
        sock.close()
        if isinstance(error, ssl.SSLError) and client_certificate_wanted(error):
            raise StageError("client_cert", "the server wants a client certificate") from None
        reason = str(getattr(error, "reason", None) or "the other side ended it").replace("_", " ").lower()
        raise StageError("tls_refused", f"TLS failed: {reason}") from None
    except BaseException:
        sock.close()
        raise
    try:
        tls = writer.get_extra_info("ssl_object")
        return {"version": str(tls.version()), **certificate(tls.getpeercert())}
    finally:
        await close(writer)


async def sign_in(place: dsn.Credentials, timeout: float, *, autocommit: bool = True) -> Any:
    """Return an open ``psycopg.AsyncConnection``.

    Raises:
        StageError: one of the codes of ``refusal``.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    known = {k: v for k, v in place.query if k not in ("sslmode", "connect_timeout")}
    settings: dict[str, Any] = {
        **known,
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": place.password.reveal(),
        "dbname": place.database,
        "sslmode": place.sslmode,
        "connect_timeout": max(2, int(timeout)),
    }
    settings.setdefault("application_name", "flywizard")
    try:
        async with asyncio.timeout(timeout):
            return await psycopg.AsyncConnection.connect(
                make_conninfo("", **settings), autocommit=autocommit, prepare_threshold=None
            )
    except TimeoutError:
        raise StageError("silent", "the server does not finish the sign-in in time") from None
    except psycopg.Error as error:
        raise refusal(str(error), place) from None


def refusal(text: str, place: dsn.Credentials) -> StageError:
    """Turn psycopg's words about a failed connection into a code and the server's own sentence."""
    line = next((part for part in text.splitlines() if "FATAL" in part), text.splitlines()[0] if text else "")
    said = re.sub(r"^.*?(FATAL|ERROR):\s+", "", line).strip()
    said = re.sub(r"^connection failed: ", "", said)
    if (wrong := re.search(r'invalid (?:URI query parameter|connection option) "(\w+)"', text)) is not None:
        return StageError(
            "signin", f"the parameter `{wrong[1]}` of the URL is not known to Postgres' own library"
        )
    for code, pattern in _TEXTS:
        if pattern.search(line):
            return StageError(code, said)
    return StageError("signin", said or "the sign-in failed")


def sql_failure(error: psycopg.Error) -> tuple[str, str]:
    """Return (code, sentence) of a failed statement."""
    state = error.sqlstate or ""
    text = error.diag.message_primary or (str(error).splitlines() or ["the statement failed"])[0]
    if hint := error.diag.message_hint:
        text = f"{text} ({hint})"
    if "extension" in text and state == "42501":
        return "extension_denied", text
    if ("control file" in text or "is not available" in text) and state in ("58P01", "0A000", "22023"):
        return "extension_missing", text
    if state == "42501":
        return "rights", text
    if state.startswith(("08", "57P")) or not state:
        return "lost", text
    return "sql", text
