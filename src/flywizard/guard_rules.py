"""Owns the guard's rules as pure functions: what a request is, what may be repeated, what answers a creating one.

flyctl repeats every request up to three times on 502 and 503, whatever it is, so it must never see these on a
request that creates something. Which requests create was read in flyctl 0.4.87 and fly-go 0.9.6.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

Upstream: TypeAlias = Literal["flaps", "api", "uiex"]
Kind: TypeAlias = Literal["app", "machine", "volume", "address", "cluster"]
Json: TypeAlias = Mapping[str, Any]

UPSTREAMS: Mapping[Upstream, tuple[str, str]] = {
    "flaps": ("FLY_FLAPS_BASE_URL", "https://api.machines.dev"),
    "api": ("FLY_API_BASE_URL", "https://api.fly.io"),
    "uiex": ("FLY_UIEX_BASE_URL", "https://api.fly.io"),
}
"""The variable that leads flyctl there, and where it goes without it."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class Create:
    """Creates something that a look-up can find again."""

    kind: Kind
    look: str
    """Path of the look-up, on the same upstream."""
    wanted: Json
    """The body that flyctl sent."""


@dataclass(frozen=True, slots=True)
class Once:
    """May have an effect and can't be found again: sent once, then in doubt."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """May be sent again."""

    server_error: bool = False
    """Also after a 500."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never sent on."""

    text: str


Rule: TypeAlias = Create | Once | Repeat | Refuse


@dataclass(frozen=True, slots=True)
class Limits:
    """Every duration of the guard, in seconds."""

    connect: float = 15.0
    create: float = 120.0
    """How long a creating request may take to be answered."""
    wait: float = 75.0
    """For ``machines/ID/wait``, which asks for up to 60."""
    other: float = 30.0
    repeats: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 5.0)
    server_error_repeats: int = 3
    machine_patience: float = 5.0
    """All repeats of a machine GET together; flyctl's smoke check lasts 10."""
    patience: float = 8.0
    """All repeats of any other request together."""
    retry_after: float = 30.0
    """The longest ``Retry-After`` that is waited for, ``machine_patience`` for a machine GET."""
    looks: tuple[float, ...] = (0.3, 0.6, 1.2, 2.4, 4.8, 9.6)
    """Waits before each look for what was created."""
    late: float = 120.0
    """A request without an answer may still be carried out for so long after it began."""
    idle: float = 4.0
    """How long a connection to Fly is kept for the next repeatable request."""

    def paced(self, pace: float) -> Limits:
        """Return limits whose waits (not the time for an answer) are multiplied, for tests and rehearsals."""
        return replace(
            self,
            repeats=tuple(wait * pace for wait in self.repeats),
            looks=tuple(wait * pace for wait in self.looks),
            late=self.late * pace,
            machine_patience=self.machine_patience * pace,
            patience=self.patience * pace,
        )


def upstream_of(path: str) -> Upstream:
    """Tell which of flyctl's three servers a path (without query) belongs to."""
    if path.startswith("/v1/"):
        return "flaps"
    if path == "/graphql" or re.fullmatch(
        r"/api/v1/(?:apps/[^/]+/logs|cli_sessions(?:/.*)?|sessions(?:/.*)?)", path
    ):
        return "api"
    return "uiex"


_MACHINE = r"/v1/apps/[^/]+/machines/[^/]+"
_CREATES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"/v1/apps"), "app"),
    (re.compile(r"/v1/apps/[^/]+/machines"), "machine"),
    (re.compile(r"/v1/apps/[^/]+/volumes"), "volume"),
    (re.compile(r"/v1/apps/[^/]+/ip_assignments"), "address"),
    (re.compile(r"/api/v1/organizations/[^/]+/postgresv2"), "cluster"),
)
_REPEATABLE_POSTS = re.compile(
    rf"{_MACHINE}"
    rf"|{_MACHINE}/(?:lease|start|stop|suspend|cordon|uncordon)"
    rf"|{_MACHINE}/metadata/[^/]+"
    r"|/v1/apps/[^/]+/secrets(?:/[^/]+)?"
    r"|/v1/apps/[^/]+/certificates(?:/.*)?"
    r"|/v1/platform/placements"
    r"|/api/v1/builds(?:/finish)?"
    r"|/api/v1/releases"
)
_WIREGUARD = frozenset({"validateWireGuardPeers", "addWireGuardPeer"})


def classify(method: str, path: str, body: bytes) -> Rule:
    """Return what may be done with a request; ``path`` is without query. An unknown POST is sent once."""
    if method in {"GET", "HEAD", "OPTIONS"}:
        return Repeat(server_error=method == "GET")
    if path == "/graphql":
        operation, fields = graphql_operation(body)
        if _WIREGUARD.intersection(fields):
            return Refuse("flywizard-guard: no WireGuard agent is started from here")
        return Repeat() if operation == "query" else Once()
    if method in {"PUT", "PATCH", "DELETE"}:
        return Repeat()
    if method == "POST":
        if _REPEATABLE_POSTS.fullmatch(path):
            return Repeat()
        for pattern, kind in _CREATES:
            if pattern.fullmatch(path):
                wanted = _object(body)
                look = _look_path(kind, path, wanted)
                return Once() if wanted is None or look is None else Create(kind, look, wanted)
    return Once()


def _object(body: bytes) -> Json | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _look_path(kind: Kind, path: str, wanted: Json | None) -> str | None:
    match kind:
        case "app":
            name = (wanted or {}).get("name")
            return f"/v1/apps/{quote(name, safe='')}" if isinstance(name, str) and name else None
        case "cluster":
            return path.removesuffix("v2")
        case "machine" | "volume" | "address":
            return path


_TOKENS = re.compile(r'#[^\n\r]*|"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|[_A-Za-z]\w*|[{}()\[\]:@]')


def graphql_operation(body: bytes) -> tuple[Literal["query", "mutation"], tuple[str, ...]]:
    """Return the kind of a GraphQL request and its root fields.

    What can't be read counts as a mutation, and so does a document with any operation that isn't a query.
    """
    document = _object(body)
    text = document.get("query") if document is not None else None
    if not isinstance(text, str):
        return "mutation", ()
    depth, nested, header = 0, 0, ""
    operations: list[str] = []
    fields: list[str] = []
    tokens = [token for token in _TOKENS.findall(text) if token[0] not in '#"']
    for index, token in enumerate(tokens):
        match token:
            case "{" if nested == 0:
                if depth == 0:
                    operations.append(header or "query")
                depth += 1
            case "}" if nested == 0:
                depth -= 1
                header = header if depth else ""
            case "(" | "[" | "{":
                nested += 1
            case ")" | "]" | "}":
                nested -= 1
            case ":" | "@":
                continue
            case name if nested == 0:
                after = tokens[index + 1] if index + 1 < len(tokens) else ""
                before = tokens[index - 1] if index else ""
                if depth == 0 and not header:
                    header = name
                elif depth == 1 and operations[-1] != "fragment" and after != ":" and before != "@":
                    fields.append(name)
            case _:
                continue
    operations = [operation for operation in operations if operation != "fragment"]
    known = bool(operations) and depth == 0 and nested == 0
    query = known and all(operation == "query" for operation in operations)
    return "query" if query else "mutation", tuple(fields)


def is_machine_get(method: str, path: str) -> bool:
    """Tell whether flyctl's smoke check may hang on this request."""
    return method == "GET" and re.fullmatch(r"/v1/apps/[^/]+/machines(?:/.*)?", path) is not None


def time_limit(rule: Rule, method: str, path: str, limits: Limits) -> float:
    """Return how long an answer may take, in seconds."""
    match rule:
        case Create() | Once():
            return limits.create
        case Repeat() | Refuse():
            waits = method == "GET" and re.fullmatch(rf"{_MACHINE}/wait", path)
            return limits.wait if waits else limits.other


def must_repeat(rule: Repeat, status: int, done: int, limits: Limits) -> bool:
    """Tell whether an answer calls for another try after ``done`` repeats. 408 is what ``wait`` answers."""
    if status == 500:
        return rule.server_error and done < limits.server_error_repeats
    return status == 429 or status > 500


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for (a number or an HTTP date); None without one."""
    if value is None:
        return None
    try:
        return max(0.0, float(int(value)))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def in_doubt(status: int) -> bool:
    """Tell whether this answer to a creating request leaves open whether it was carried out."""
    return status >= 500 or status == 408


def items(kind: Kind, status: int, body: bytes) -> tuple[Json, ...] | None:
    """Return what a look-up lists; None when its answer says nothing."""
    if status == 404:
        return ()
    if status != 200:
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    match kind:
        case "app":
            value = [value]
        case "address":
            value = value.get("ips") if isinstance(value, dict) else None
        case "cluster":
            value = value.get("data") if isinstance(value, dict) else None
        case "machine" | "volume":
            pass
    if not isinstance(value, list):
        return () if value is None and kind in {"address", "cluster"} else None
    return tuple(item for item in value if isinstance(item, dict))


def identity(kind: Kind, item: Json) -> str:
    """Return what tells one thing of a list from another."""
    match kind:
        case "app":
            return str(item.get("name"))
        case "address":
            return f"{item.get('ip')} {item.get('service_name') or ''}"
        case "machine" | "volume" | "cluster":
            return str(item.get("id"))


def found(create: Create, before: Sequence[Json], after: Sequence[Json]) -> tuple[Json, ...]:
    """Return what is new and looks like the thing that was asked for."""
    known = {identity(create.kind, item) for item in before}
    return tuple(item for item in after if identity(create.kind, item) not in known and _ours(create, item))


def _ours(create: Create, item: Json) -> bool:
    wanted = create.wanted
    match create.kind:
        case "app":
            return item.get("name") == wanted.get("name") and _our_organization(wanted, item)
        case "machine":
            return _same(wanted, item, "region") and _metadata(wanted).items() <= _metadata(item).items()
        case "volume" | "cluster":
            return item.get("name") == wanted.get("name") and _same(wanted, item, "region")
        case "address":
            return _address_type(item) == (wanted.get("type") or "v4")


def _same(wanted: Json, item: Json, key: str) -> bool:
    return not wanted.get(key) or wanted[key] == item.get(key)


def _our_organization(wanted: Json, item: Json) -> bool:
    organization = item.get("organization")
    if not isinstance(organization, dict):
        return False
    slug = wanted.get("org_slug")
    return slug in {organization.get("slug"), organization.get("raw_slug")} or (
        slug == "personal" and organization.get("type") == "PERSONAL"
    )


def _metadata(thing: Json) -> Mapping[str, str]:
    config = thing.get("config")
    metadata = config.get("metadata") if isinstance(config, dict) else None
    return {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}


def _address_type(item: Json) -> str:
    address = str(item.get("ip") or "")
    if ":" in address:
        return "private_v6" if address.lower().startswith("fdaa:") else "v6"
    return "shared_v4" if item.get("shared") else "v4"


def answer(create: Create, item: Json, nonce: str | None) -> tuple[int, bytes]:
    """Return status and JSON body that flyctl takes for the answer to its creating request."""
    match create.kind:
        case "app":
            return 201, _dump(item)
        case "cluster":
            data = {**item, "postgis_enabled": bool(create.wanted.get("postgis_enabled"))}
            return 201, _dump({"ok": True, "errors": {}, "data": data})
        case "machine":
            return 200, _dump({**item, "nonce": nonce} if nonce else item)
        case "volume" | "address":
            return 200, _dump(item)


def refusal(path: str, text: str, status: int = 500) -> tuple[int, bytes]:
    """Return status and body that make flyctl print ``text`` and not repeat the request.

    Its three readers look for ``error``, ``message`` and ``errors.detail``; for GraphQL any status but 200
    would hide the text.
    """
    if path == "/graphql":
        return 200, _dump({"data": None, "errors": [{"message": text}]})
    return status, _dump({"error": text, "message": text, "errors": {"detail": text}})


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def token_parts(value: str) -> frozenset[str]:
    """Return the single tokens of an ``Authorization`` header or of ``FLY_API_TOKEN``."""
    value = re.sub(r"^\s*(?:FlyV1|Bearer)(?:\s+|$)", "", value, flags=re.IGNORECASE)
    return frozenset(part for part in (part.strip() for part in value.split(",")) if part)


def same_token(known: frozenset[str], header: str) -> bool:
    """Tell whether a header shows at least one of the known tokens.

    flyctl sends all of them or only the macaroons, and adds discharges that it fetched.
    """
    return any(
        hmac.compare_digest(ours.encode(), theirs.encode())
        for ours in known
        for theirs in token_parts(header)
    )
