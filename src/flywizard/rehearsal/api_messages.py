"""Owns requests and answers as values, refusals, and who is asking: shared by all families of the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from flywizard.rehearsal.api import Api

Transport: TypeAlias = Literal["", "cut", "truncate", "slow", "hang"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are lower-case; ``query`` keeps the last value of a repeated key."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    queries: tuple[tuple[str, str], ...] = ()
    """All pairs of the query string, where a key may repeat."""

    def json(self) -> dict[str, Any]:
        """Return the body as an object; {} when it is empty.

        Raises:
            RefusalError: 400, it is not a JSON object.
        """
        if not self.body:
            return {}
        try:
            data = json.loads(self.body)
        except ValueError:
            raise RefusalError(400, "invalid JSON") from None
        if not isinstance(data, dict):
            raise RefusalError(400, "a JSON object is expected")
        return data

    def all(self, key: str) -> list[str]:
        """Return every value of a query key."""
        found = [value for name, value in self.queries if name == key]
        return found or ([self.query[key]] if key in self.query else [])


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``transport`` other than "": the server breaks it on the wire in that way."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    transport: Transport = ""

    def json(self) -> Any:
        """Return the body as JSON, None when it is empty."""
        return json.loads(self.body) if self.body else None


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer; None gives an empty body."""
    if data is None:
        return Response(status, dict(headers or {}))
    body = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)


def page(text: str, status: int = 200, kind: str = "text/html; charset=utf-8") -> Response:
    """Return a text answer."""
    return Response(status, {"content-type": kind}, text.encode())


class RefusalError(Exception):
    """An answer with an error status; raised by handlers."""

    def __init__(self, status: int, error: str, code: str = "", body: Any = None) -> None:
        super().__init__(status, error)
        self.status = status
        self.body = body if body is not None else {"error": error, **({"status": code} if code else {})}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent the request."""

    email: str
    kind: str = "user"
    """user · org · deploy · readonly."""
    app: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is given."""

    api: Api
    request: Request
    parts: Mapping[str, str]
    """Named parts of the path."""
    who: Identity
    now: float


Handler: TypeAlias = Callable[[Call], Awaitable[Response] | Response]


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request: method, path with ``{name}`` parts, its operation name, and whether it changes anything."""

    method: str
    pattern: str
    operation: str
    handler: Handler
    mutating: bool = False
    public: bool = False
    """No token is asked for."""
