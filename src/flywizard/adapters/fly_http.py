"""Owns looking at Fly over HTTP: apps, machines, secret names, volumes, addresses, logs. It never changes anything.

Only GET is sent, so every request may be repeated. Fly allows one request a second for an action and app
(three at once); a limiter here stays below that, because a 429 would also hit a deploy that runs beside us.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import httpx

from flywizard.ports import Clock, LogLine, LookError, Machine
from flywizard.vault import Secret

TokenProvider: TypeAlias = Callable[[], Awaitable[Secret | None]]
TRIES = 4
LONGEST_WAIT = 30.0
"""Most seconds that ``Retry-After`` is obeyed for; longer ones end the look."""
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_MACAROON = ("fm1r_", "fm1a_", "fm2_")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
_GONE = frozenset({"destroyed", "replaced", "migrated"})


class SystemClock:
    """The real time, as ``ports.Clock`` wants it."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds for measuring."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class Limiter:
    """Spaces requests of one key: ``rate`` a second, ``burst`` at once. One lock per key keeps their order."""

    clock: Clock
    rate: float = 1.0
    burst: int = 3
    _free_at: dict[str, float] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def wait(self, key: str) -> None:
        """Wait until a request with this key may leave."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            now = self.clock.monotonic()
            # the time at which the bucket would be full again; it may lie at most ``burst`` requests ahead
            full_at = max(self._free_at.get(key, now), now) + 1 / self.rate
            self._free_at[key] = full_at
            delay = full_at - now - self.burst / self.rate
            if delay > 0:
                await self.clock.sleep(delay)


def authorization(token: Secret) -> str:
    """Return the header for the Machines API and the logs: macaroons only, where there are any."""
    plain = _bare(token)
    parts = [part.strip() for part in plain.split(",") if part.strip()]
    macaroons = [part for part in parts if part.startswith(_MACAROON)]
    return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {plain}"


def _bare(token: Secret) -> str:
    plain = token.reveal().strip()
    for scheme in ("FlyV1 ", "Bearer "):
        plain = plain.removeprefix(scheme).strip()
    return plain


class FlyHttp:
    """The ``Look`` port over httpx. Bases and their defaults are those of flyctl."""

    def __init__(
        self,
        token: TokenProvider,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        jitter: Callable[[], float] = random.random,
        rate: float = 1.0,
    ) -> None:
        """Prepare; nothing is opened before the first look. ``rate``: looks a second of one kind at one app."""
        env = os.environ if environ is None else environ
        self._flaps = (env.get("FLY_FLAPS_BASE_URL") or "https://api.machines.dev").rstrip("/")
        self._api = (env.get("FLY_API_BASE_URL") or "https://api.fly.io").rstrip("/")
        self._uiex = (env.get("FLY_UIEX_BASE_URL") or "https://api.fly.io").rstrip("/")
        self._token = token
        self._clock: Clock = clock or SystemClock()
        self._limiter = Limiter(self._clock, rate)
        self._jitter = jitter
        self._transport = transport
        self._http: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def __aenter__(self) -> FlyHttp:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def app(self, name: str) -> Literal["absent", "foreign"] | Mapping[str, Any]:
        """Return the app object, "absent" (404) or "foreign" (403). Raises LookError."""
        answer = await self._get(f"{self._flaps}/v1/apps/{quote(name, safe='')}", f"app {name}", (403, 404))
        if answer.status_code in (403, 404):
            return "absent" if answer.status_code == 404 else "foreign"
        return _mapping(_json(answer))

    async def organization(self, slug: str) -> Mapping[str, Any]:
        """Return the organisation as flyctl itself reads it before a deploy. Raises LookError."""
        url = f"{self._uiex}/api/v1/organizations/{quote(slug, safe='')}"
        answer = await self._get(url, f"organization {slug}", (), scheme="Bearer")
        return _mapping(_mapping(_json(answer)).get("organization"))

    async def machines(self, app: str) -> Sequence[Machine]:
        """Return the machines that are not destroyed; [] for an unknown app. Raises LookError."""
        found = await self._of_app(app, "machines")
        machines = [_machine(m) for m in _items(found, "machines") if m.get("id")]
        return [m for m in machines if m.state not in _GONE]

    async def secrets(self, app: str) -> Mapping[str, str]:
        """Return name to digest. Raises LookError."""
        found = await self._of_app(app, "secrets")
        return {str(s["name"]): str(s.get("digest") or "") for s in _items(found, "secrets") if s.get("name")}

    async def volumes(self, app: str) -> Sequence[Mapping[str, Any]]:
        """Return the volumes. Raises LookError."""
        return _items(await self._of_app(app, "volumes"), "volumes")

    async def addresses(self, app: str) -> Sequence[Mapping[str, Any]]:
        """Return the addresses: [{"ip", "region", "shared", …}]. Raises LookError."""
        return _items(await self._of_app(app, "ip_assignments"), "ips")

    async def logs(self, app: str, token: str = "", instance: str = "") -> tuple[Sequence[LogLine], str]:
        """Return (lines as sent, next token); the old token again when the page names none. Raises LookError."""
        params = {k: v for k, v in (("next_token", token), ("instance", instance)) if v}
        url = f"{self._api}/api/v1/apps/{quote(app, safe='')}/logs"
        answer = await self._get(url, f"logs {app}", (), params)
        body = _mapping(_json(answer))
        meta = body.get("meta")
        following = str(meta.get("next_token") or "") if isinstance(meta, dict) else ""
        return [_log_line(item) for item in _items(body, "data")], following or token

    async def server_date(self) -> tuple[bool, str | None]:
        """Return (reachable, ``Date`` header). No sign-in needed: a refusal has a date too."""
        try:
            answer = await self._client().get(f"{self._flaps}/v1/platform/regions", timeout=10.0)
        except (httpx.HTTPError, OSError):
            return False, None
        return True, answer.headers.get("date")

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(
                transport=self._transport,
                timeout=TIMEOUT,
                follow_redirects=False,
                headers={"User-Agent": "flywizard", "Accept": "application/json"},
                limits=httpx.Limits(max_connections=8, keepalive_expiry=20.0),
            )
        return self._http

    async def _of_app(self, app: str, what: str) -> Any:
        url = f"{self._flaps}/v1/apps/{quote(app, safe='')}/{what}"
        answer = await self._get(url, f"{what} {app}", (404,))
        return [] if answer.status_code == 404 else _json(answer)

    async def _get(
        self,
        url: str,
        key: str,
        expected: tuple[int, ...],
        params: Mapping[str, str] | None = None,
        scheme: str = "",
    ) -> httpx.Response:
        token = await self._token()
        if not token:
            raise LookError("no access token available. Please login with `fly auth login`", 401)
        # the dashboard API takes every token of a list, always as Bearer
        headers = {"Authorization": f"{scheme} {_bare(token)}" if scheme else authorization(token)}
        failure = LookError("no answer from Fly's API")
        for number in range(1, TRIES + 1):
            await self._limiter.wait(key)
            wait = 0.25 * 2**number
            try:
                answer = await self._client().get(url, params=params, headers=headers)
            except (httpx.TransportError, OSError) as error:
                failure = _transport_failure(error)
                if _certificate(error):
                    break
            else:
                if answer.status_code == 200 or answer.status_code in expected:
                    return answer
                failure = _status_failure(answer)
                if answer.status_code not in (408, 425, 429) and answer.status_code < 500:
                    break
                wait = self._retry_after(answer) or wait
            if number == TRIES or wait > LONGEST_WAIT:
                break
            await self._clock.sleep(wait * (1 + 0.25 * self._jitter()))
        raise failure

    def _retry_after(self, answer: httpx.Response) -> float:
        value = answer.headers.get("retry-after", "").strip()
        if value.isdigit():
            return float(value)
        if not value:
            return 0.0
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - self._clock.now())
        except ValueError:
            return 0.0


def _certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _transport_failure(error: Exception) -> LookError:
    if _certificate(error):
        return LookError("the certificate of Fly's API can't be verified")
    if isinstance(error, httpx.TimeoutException):
        return LookError("no answer from Fly's API in time")
    return LookError(f"no answer from Fly's API: {_clean(str(error)) or type(error).__name__}")


def _status_failure(answer: httpx.Response) -> LookError:
    said = ""
    try:
        body = answer.json()
    except ValueError:
        body = None  # an HTML page of a proxy says nothing to a user
    if isinstance(body, dict):
        for name in ("message", "error"):
            if isinstance(body.get(name), str) and body[name]:
                said = f": {_clean(body[name])}"
                break
    request = answer.headers.get("fly-request-id")
    trailer = f" (Request ID: {_clean(request)})" if request else ""
    return LookError(
        f"Fly's API answered with status {answer.status_code}{said}{trailer}", answer.status_code
    )


def _clean(text: str) -> str:
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= 300 else line[:299] + "…"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise LookError("Fly's API answered with something that is not JSON", answer.status_code) from None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise LookError("Fly's API answered in a form flywizard does not know", 200)
    return value


def _items(value: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list, bare or under ``key``."""
    found = value.get(key) if isinstance(value, dict) else value
    if found is None:
        return []
    if not isinstance(found, list):
        raise LookError("Fly's API answered in a form flywizard does not know", 200)
    return [item for item in found if isinstance(item, dict)]


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _machine(value: Mapping[str, Any]) -> Machine:
    config = _dict(value.get("config"))
    metadata = _dict(config.get("metadata"))
    memory = _dict(config.get("guest")).get("memory_mb")
    return Machine(
        id=str(value["id"]),
        state=str(value.get("state") or "unknown"),
        region=str(value.get("region") or ""),
        group=str(metadata.get("fly_process_group") or metadata.get("process_group") or ""),
        image=str(config.get("image") or ""),
        env={str(k): str(v) for k, v in _dict(config.get("env")).items()},
        checks=tuple(
            (str(c.get("name") or ""), str(c.get("status") or ""), str(c.get("output") or ""))
            for c in _items(value.get("checks"), "checks")
        ),
        events=tuple(_items(value.get("events"), "events")),
        host_status=str(value.get("host_status") or "ok"),
        release_version=str(metadata.get("fly_release_version") or ""),
        memory_mb=memory if isinstance(memory, int) else 0,
        created_at=str(value.get("created_at") or ""),
        standby=bool(config.get("standbys")),
    )


def _log_line(item: Mapping[str, Any]) -> LogLine:
    attributes = _dict(item.get("attributes"))
    meta = _dict(attributes.get("meta"))
    event = _dict(meta.get("event") or meta.get("Event"))
    return LogLine(
        id=str(item.get("id") or ""),
        time=str(attributes.get("timestamp") or ""),
        text=str(attributes.get("message") or ""),
        level=str(attributes.get("level") or ""),
        instance=str(attributes.get("instance") or ""),
        provider=str(event.get("provider") or event.get("Provider") or ""),
    )
