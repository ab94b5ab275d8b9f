"""Owns the way of a request through the simulated Fly.io: route, token, rate limit, switch, work, record."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import unquote

from flywizard.rehearsal import (
    api_account,
    api_apps,
    api_attached,
    api_graphql,
    api_machines,
    api_mpg,
    api_private,
    api_uiex,
    edge,
    world_tokens,
)
from flywizard.rehearsal.api_messages import (
    Call,
    Identity,
    RefusalError,
    Request,
    Response,
    Route,
    answer,
    page,
)
from flywizard.rehearsal.backing import Backing
from flywizard.rehearsal.clock import RehearsalClock
from flywizard.rehearsal.faults import AFTER, BEFORE, LATE, Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import RequestRecord, stamp

__all__ = ["After", "Api", "Request", "Response"]

After: TypeAlias = "Callable[[Api, Request, Response], Awaitable[None]]"

REQUEST_ID = "01SIMREQUEST-ams"
GRAPHQL = Route("POST", "/graphql", "graphql", lambda call: answer(None))
NOBODY = Identity("")
LIMITS: dict[str, tuple[float, float]] = {"machine-get": (5.0, 10.0)}
LIMIT = (1.0, 3.0)
"""Requests a second and burst of the Machines API, for each action and id."""


class Api:
    """The simulated Fly.io without sockets: give it a request, get an answer."""

    def __init__(
        self,
        world: World,
        clock: RehearsalClock,
        faults: Faults | None = None,
        *,
        on_commit: Callable[[], None] | None = None,
        control: str = "",
        backing: Backing | None = None,
    ) -> None:
        """Serve ``world``, with real databases behind its clusters where ``backing`` is given.

        ``on_commit`` is called after each committed change, before its answer is given. ``control`` is the
        token for the private paths; empty: they are open, for use in one process.
        """
        self.world = world
        self.clock = clock
        self.faults = faults or Faults()
        self.control = control
        self.backing = backing
        self.on_commit = on_commit or (lambda: None)
        self.after: After | None = None
        """Called for each committed change, once it is kept and before its answer leaves."""
        self.on_shutdown: Callable[[], None] = lambda: None
        self._buckets: dict[str, tuple[float, float]] = {}
        self._routes = [(route, _compile(route.pattern)) for route in ROUTES]

    async def handle(self, request: Request) -> Response:
        """Answer one request. Never raises for a bad request; ``transport`` tells the server to break it."""
        if edge.is_edge(request):
            return edge.serve(self.world, self.clock, self.faults, request)
        private = request.path.startswith("/_")
        try:
            route, parts, question = self._route(request)
        except RefusalError as refusal:
            return self._finish(answer(refusal.body, refusal.status))
        who = NOBODY
        fault = ""
        committed = False
        try:
            if private:
                api_private.check(self, request)
            elif not route.public:
                who = self._identify(request)
                self._limit(route, parts)
                if who.kind == "readonly" and route.mutating:
                    raise RefusalError(403, "this token may only read", "forbidden")
            fault = "" if private else self.faults.take(route.operation, mutating=route.mutating)
            if fault in LATE:
                await self.clock.sleep(LATE[fault] * self.clock.speed)
            if fault in BEFORE:
                response = self._broken(fault, BEFORE[fault])
            else:
                call = Call(self, request, parts, who, self.clock.now())
                result = api_graphql.run(call, question) if question else route.handler(call)
                response = await result if inspect.isawaitable(result) else result
                committed = route.mutating and response.status < 400 and not _has_errors(question, response)
                response = self._after(fault, response)
        except RefusalError as refusal:
            response = self._after(fault, answer(refusal.body, refusal.status))
        self._note(request, route, response, committed, fault)
        if committed and self.after is not None:
            await self.after(self, request, response)
        return self._finish(response)

    def _route(self, request: Request) -> tuple[Route, dict[str, str], api_graphql.Question | None]:
        if request.path == "/graphql" and request.method == "POST":
            question = api_graphql.read(request)
            route = Route("POST", "/graphql", question.operation, GRAPHQL.handler, question.mutating)
            return route, {}, question
        known = False
        for route, pattern in self._routes:
            match = pattern.match(request.path)
            if match is None:
                continue
            known = True
            if route.method == request.method:
                return route, {k: unquote(v) for k, v in match.groupdict().items()}, None
        if known:
            raise RefusalError(405, "method not allowed")
        raise RefusalError(404, "not found", "not_found")

    def _identify(self, request: Request) -> Identity:
        who = world_tokens.identify(self.world, request.headers.get("authorization", ""))
        if who is None or self.faults.on("token-expired"):
            text = "You must be authenticated to view this."
            body = (
                {"errors": [{"message": text}]} if request.path == "/graphql" else {"error": "unauthorized"}
            )
            raise RefusalError(401, text, body=body)
        if self.faults.on("sso") and request.path != "/graphql" and not _open_to_all(request.path):
            text = "all tokens missing third-party discharge tokens; no verified tokens"
            raise RefusalError(401, text, body={"error": text})
        return who

    def _limit(self, route: Route, parts: dict[str, str]) -> None:
        if not route.pattern.startswith("/v1/") or not self.faults.on("rate-limits"):
            return
        rate, burst = LIMITS.get(route.operation, LIMIT)
        key = f"{route.operation}:{parts.get('machine') or parts.get('app') or ''}"
        now = self.clock.now()
        left, at = self._buckets.get(key, (burst, now))
        left = min(burst, left + (now - at) * rate)
        if left < 1:
            self._buckets[key] = (left, now)
            raise RefusalError(429, "rate limit exceeded", body={"error": "rate limit exceeded"})
        self._buckets[key] = (left - 1, now)

    def _broken(self, fault: str, status: int) -> Response:
        match fault:
            case "hang":
                return Response(0, transport="hang")
            case "reset-before" | "lost-response":
                return Response(0, transport="cut")
            case "500" | "500-after-commit":
                return page("<html><body>Internal Server Error</body></html>", 500)
            case "502-before" | "502-after-commit":
                return page("<html>502 Bad Gateway</html>", 502)
            case "409":
                text = f"lease currently held by other@example.com, expires at {stamp(self.clock.now() + 13)}"
                return answer({"error": text}, 409)
            case "429":
                return answer({"error": "rate limit exceeded"}, 429, {"retry-after": "2"})
            case _:
                text = _TEXTS.get(status, "simulated fault")
                code = {"status": "forbidden"} if status == 403 else {}
                return answer({"error": text, "errors": {"detail": text}} | code, status)

    def _after(self, fault: str, response: Response) -> Response:
        if fault in AFTER:
            return self._broken(fault, AFTER[fault])
        if fault == "slow-body":
            return Response(response.status, response.headers, response.body, "slow")
        if fault == "truncated":
            return Response(response.status, response.headers, response.body, "truncate")
        return response

    def _note(self, request: Request, route: Route, response: Response, committed: bool, fault: str) -> None:
        quiet = request.path.startswith("/_") and not route.mutating
        if not quiet:
            self.world.record(
                RequestRecord(
                    self.clock.now(),
                    request.method,
                    request.path,
                    route.operation,
                    response.status,
                    route.mutating,
                    committed,
                    fault,
                )
            )
        if committed or fault or route.public or (route.mutating and not quiet):
            self.on_commit()

    def _finish(self, response: Response) -> Response:
        headers = dict(response.headers)
        headers.setdefault("fly-request-id", REQUEST_ID)
        if response.status == 429:
            headers.setdefault("retry-after", "1")
        return Response(response.status, headers, response.body, response.transport)


_TEXTS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    408: "request timed out",
    422: "simulated refusal",
    503: "unavailable",
}
ROUTES: tuple[Route, ...] = (
    *api_apps.ROUTES,
    *api_attached.ROUTES,
    *api_machines.ROUTES,
    *api_account.ROUTES,
    *api_uiex.ROUTES,
    *api_mpg.ROUTES,
    *api_private.ROUTES,
)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern) + r"\Z")


def _open_to_all(path: str) -> bool:
    return path.startswith("/v1/platform/")


def _has_errors(question: api_graphql.Question | None, response: Response) -> bool:
    return question is not None and response.body.startswith(b'{"errors"')
