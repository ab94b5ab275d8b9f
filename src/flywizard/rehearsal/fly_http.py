"""The ways from the stand-in to the platform: over HTTP (the command), or in process (tests).

`HttpTransport` speaks just enough HTTP/1.1 over asyncio streams; the standard client would cost start-up time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flywizard.rehearsal.fly_core import Base, Cut, go_json

DEFAULTS: dict[Base, str] = {
    "api": "https://api.fly.io",
    "flaps": "https://api.machines.dev",
    "uiex": "https://api.fly.io",
}
VARIABLES: dict[Base, str] = {
    "api": "FLY_API_BASE_URL",
    "flaps": "FLY_FLAPS_BASE_URL",
    "uiex": "FLY_UIEX_BASE_URL",
}


class HttpTransport:
    """Requests over loopback HTTP, one connection each; waits are divided by the World's speed."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._bases: dict[Base, str] = {
            base: (env.get(variable) or DEFAULTS[base]).rstrip("/") for base, variable in VARIABLES.items()
        }
        try:
            self._speed = max(0.01, float(env.get("FLYWIZARD_REHEARSAL_SPEED") or "1"))
        except ValueError:
            self._speed = 1.0
        self._started = time.monotonic()
        self.interrupted = ""

    def url(self, base: Base, path: str) -> str:
        """The URL of a request."""
        return self._bases[base] + path

    async def sleep(self, seconds: float) -> None:
        """Waits in World time."""
        await asyncio.sleep(seconds / self._speed)

    def now(self) -> float:
        """Seconds of World time since this process began."""
        return (time.monotonic() - self._started) * self._speed

    def time(self) -> float:
        """The time of day: the World's waits are shorter, its time of day is the real one."""
        return time.time()

    async def request(
        self, base: Base, method: str, path: str, body: object | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request and its answer.

        Raises:
            Cut: with Go's text for what went wrong.
        """
        parts = urlsplit(self.url(base, path))
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme != "http":
            raise Cut("the rehearsal's fly speaks to a rehearsal only (http on loopback)")
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise Cut(_refusal(error, host, port)) from None
        try:
            payload = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            lines = [
                f"{method} {target or '/'} HTTP/1.1",
                f"Host: {parts.netloc}",
                "User-Agent: flyctl/0.4.87",
                "Accept: application/json",
                "Connection: close",
                *(f"{name}: {value}" for name, value in headers.items()),
            ]
            if body is not None:
                lines.append("Content-Type: application/json")
            if body is not None or method in ("POST", "PUT", "PATCH"):
                lines.append(f"Content-Length: {len(payload)}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + payload)
            try:
                await writer.drain()
                return await _answer(reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                raise Cut("EOF") from None
        finally:
            writer.close()


def _refusal(error: OSError, host: str, port: int) -> str:
    """Go's text for a connection that could not be made."""
    import socket

    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if (
        isinstance(error, ConnectionRefusedError)
        or "refused" in str(error)
        or "Connect call failed" in str(error)
    ):
        return f"dial tcp {host}:{port}: connect: connection refused"
    return f"dial tcp {host}:{port}: {error}"


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str], bytes]:
    """Reads one HTTP answer.

    Raises:
        Cut: the connection ended early.
    """
    status_line = await reader.readline()
    if not status_line.startswith(b"HTTP/"):
        raise Cut("EOF")
    status = int(status_line.split()[1])
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    try:
        if "chunked" in headers.get("transfer-encoding", ""):
            parts: list[bytes] = []
            while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            return status, headers, b"".join(parts)
        if "content-length" in headers:
            return status, headers, await reader.readexactly(int(headers["content-length"]))
        return status, headers, b"" if status == 204 else await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        raise Cut("unexpected EOF", in_body=True) from None


class DirectTransport:
    """Requests to a platform in the same process, by its `handle(Request) -> Response`.

    `clock` is anything with `now()` and `async sleep(seconds)`; without one, the World's own is used.
    """

    def __init__(self, api: Any, *, clock: Any = None, origin: str = "http://fly.test") -> None:
        self._api = api
        self._clock = clock
        self._origin = origin
        self.interrupted = ""

    def url(self, base: Base, path: str) -> str:
        """The URL a request would go to."""
        return self._origin + path

    async def sleep(self, seconds: float) -> None:
        """Waits on the given clock."""
        if self._clock is None:
            await asyncio.sleep(0)
        else:
            await self._clock.sleep(seconds)

    def now(self) -> float:
        """The given clock's time."""
        return time.time() if self._clock is None else float(self._clock.now())

    def time(self) -> float:
        """The given clock's time of day."""
        return self.now()

    async def request(
        self, base: Base, method: str, path: str, body: object | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Hands the request to the platform.

        Raises:
            Cut: the platform cut the connection.
        """
        from flywizard.rehearsal.api import Request

        parts = urlsplit(path)
        payload = b"" if body is None else go_json(body, None).encode()
        request = Request(
            method=method,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            queries=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers={k.lower(): v for k, v in headers.items()},
            body=payload,
        )
        response = await self._api.handle(request)
        match response.transport:
            case "cut":
                raise Cut("EOF")
            case "truncate":
                raise Cut("unexpected EOF", in_body=True)
            case "hang":
                await asyncio.Event().wait()
        return response.status, dict(response.headers), bytes(response.body)
