"""Owns the guard's side towards Fly: one request sent as flyctl sent it, and what kind of failure it met."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from flywizard.guard_rules import HOP_BY_HOP, UPSTREAMS, Limits, upstream_of

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request of flyctl, with its body whole."""

    method: str
    target: bytes
    """Path and query, as sent."""
    headers: Headers
    """Names in lower case."""
    body: bytes

    @property
    def path(self) -> str:
        """The path without query."""
        return self.target.partition(b"?")[0].decode("ascii", "replace")

    def header(self, name: bytes) -> str:
        """Return a header's value, or an empty text."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def look(self, path: str) -> Request:
        """Return a GET of ``path`` with this request's credentials."""
        kept = tuple(
            (key, value)
            for key, value in self.headers
            if key in {b"authorization", b"user-agent"} or key.startswith(b"fly-client-")
        )
        return Request("GET", path.encode(), (*kept, (b"accept", b"application/json")), b"")


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer with its body whole, still encoded as it came."""

    status: int
    headers: Headers
    body: bytes


class UnsentError(Exception):
    """Nothing was sent: no route, a refused connection, or a certificate that isn't trusted."""

    def __init__(self, text: str, *, certificate: bool = False) -> None:
        super().__init__(text)
        self.certificate = certificate
        """Trying again would not help: TLS itself failed."""


class LostError(Exception):
    """The request was sent, at least in part, and no whole answer came."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late
        """No answer in time: it may still be carried out."""


def request_id(headers: httpx.Headers | Headers) -> str:
    """Return Fly's id of an answer as flyctl prints it, or an empty text."""
    if not isinstance(headers, httpx.Headers):
        headers = httpx.Headers(list(headers))
    value = headers.get("fly-request-id", "")
    return f" (Request ID: {value})" if value else ""


def passed_on(response: httpx.Response) -> Headers:
    """Return the headers of an answer that go on to flyctl."""
    named = {name.strip().lower() for name in response.headers.get("connection", "").split(",")}
    return tuple(
        (key, value)
        for key, value in response.headers.raw
        if key.decode("latin-1").lower() not in HOP_BY_HOP | named
    )


def trust() -> ssl.SSLContext:
    """Return a TLS context that trusts the system's authorities and certifi's; a named file or folder alone wins."""
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


class Upstream:
    """Sends requests to Fly, or to whatever the child's environment named instead."""

    def __init__(self, environment: Mapping[str, str], limits: Limits, verify: ssl.SSLContext | None) -> None:
        self._limits = limits
        self._bases = {
            name: httpx.URL(environment.get(variable) or default)
            for name, (variable, default) in UPSTREAMS.items()
        }
        context: ssl.SSLContext | bool = False
        if any(base.scheme == "https" for base in self._bases.values()):
            context = verify or trust()
        # flyctl reaches a loopback base directly whatever HTTP_PROXY says
        direct = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
        self._pool = httpx.AsyncClient(
            verify=context, mounts=direct, limits=httpx.Limits(keepalive_expiry=limits.idle)
        )
        # a connection that went stale in the pool would raise a false doubt
        self._fresh = httpx.AsyncClient(
            verify=context, mounts=direct, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        await self._fresh.aclose()

    def url(self, request: Request) -> httpx.URL:
        """Return where a request goes."""
        name = upstream_of(request.path)
        base = self._bases[name]
        # flaps drops the path of its base, as flyctl does
        prefix = b"" if name == "flaps" else base.raw_path.rstrip(b"/")
        return base.copy_with(raw_path=prefix + request.target, username=None, password=None)

    async def send(self, request: Request, limit: float, *, fresh: bool = False) -> httpx.Response:
        """Return the answer with its body unread; ``limit`` seconds to its first byte.

        Raises:
            UnsentError: nothing was sent.
            LostError: it was sent, and no answer came.
        """
        client = self._fresh if fresh else self._pool
        timeout = httpx.Timeout(limit, connect=min(limit, self._limits.connect))
        message = httpx.Request(
            request.method,
            self.url(request),
            headers=[
                (k, v) for k, v in request.headers if k != b"host" and k.decode("latin-1") not in HOP_BY_HOP
            ],
            content=request.body or None,
            extensions={"timeout": timeout.as_dict()},
        )
        try:
            async with asyncio.timeout(limit):
                return await client.send(message, stream=True, follow_redirects=False)
        except (httpx.TransportError, TimeoutError) as error:
            raise _failure(error, limit) from error

    async def whole(self, request: Request, limit: float, *, fresh: bool = False) -> Whole:
        """Return the answer with its body; ``limit`` seconds for all of it. Raises as ``send`` does."""
        try:
            async with asyncio.timeout(limit):
                response = await self.send(request, limit, fresh=fresh)
                try:
                    body = b"".join([chunk async for chunk in response.aiter_raw()])
                finally:
                    await response.aclose()
        except (httpx.TransportError, TimeoutError) as error:
            raise _failure(error, limit, sent=True) from error
        return Whole(response.status_code, passed_on(response), body)


_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def _failure(error: Exception, limit: float, *, sent: bool = False) -> UnsentError | LostError:
    reason = str(error) or type(error).__name__
    if not sent and isinstance(error, _UNSENT):
        match _tls(error):
            case None | ssl.SSLEOFError():
                return UnsentError(reason)
            case ssl.SSLCertVerificationError() as tls:
                return UnsentError(f"certificate: {tls.verify_message or tls}", certificate=True)
            case tls:
                return UnsentError(f"TLS: {tls}", certificate=True)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return LostError(f"no answer in {limit:g} s", late=True)
    return LostError(f"connection cut ({reason})")


def _tls(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
