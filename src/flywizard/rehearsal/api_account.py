"""Owns logs and signing in (``/api/v1/apps/APP/logs``, ``cli_sessions``, ``sessions``), and usage metrics."""

from __future__ import annotations

from flywizard.rehearsal import world_logs, world_tokens
from flywizard.rehearsal.api_apps import app_of
from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer, page


def _logs(call: Call) -> Response:
    app, query, api = app_of(call), call.request.query, call.api
    if call.who.kind == "deploy" or api.faults.on("logs-refused"):
        raise RefusalError(401, "unauthorized", body={"error": "unauthorized"})
    token = query.get("next_token", "")
    if token and not token.isdigit():
        raise RefusalError(400, "next_token: nanoseconds are expected")
    found = world_logs.lines(
        api.world,
        app.name,
        call.now,
        api.clock.speed,
        since=int(token or 0),
        instance=query.get("instance", ""),
        region=query.get("region", ""),
    )
    following = str(found[-1].nanoseconds) if found else token
    return answer({"data": [line.view() for line in found], "meta": {"next_token": following}})


def _open_session(call: Call) -> Response:
    world = call.api.world
    key = world.new_id("session", 16)
    world.sessions[key] = {"at": call.now}
    return answer({"id": key, "auth_url": f"https://fly.io/app/auth/cli/{key}", "pkce": False}, 201)


def _poll_session(call: Call) -> Response:
    key = call.parts["session"]
    session = call.api.world.sessions.get(key)
    lasts = call.api.world.durations.login / call.api.clock.speed
    if session is None or call.now < session["at"] + lasts:
        raise RefusalError(404, "not found", body={})
    token = world_tokens.issue(call.api.world)
    return answer({"id": key, "auth_url": f"https://fly.io/app/auth/cli/{key}", "access_token": token})


def _redeem_session(call: Call) -> Response:
    session = call.api.world.sessions.get(call.parts["session"])
    if session is None:
        raise RefusalError(404, "not found", body={})
    if call.request.json().get("code") != "GOODCODE":
        raise RefusalError(422, "invalid code", body={"error": "invalid code"})
    return answer({"access_token": world_tokens.issue(call.api.world)})


def _password_session(call: Call) -> Response:
    attributes = (call.request.json().get("data") or {}).get("attributes") or {}
    if attributes.get("password") != "good":
        raise RefusalError(401, "bad", body={"errors": ["bad"]})
    token = "oauth_" + call.api.world.new_id("oauth", 24)
    world_tokens.know(call.api.world, token)
    return answer({"data": {"attributes": {"access_token": token}}})


def _metrics(call: Call) -> Response:
    return page("", 200, "text/plain")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/v1/apps/{app}/logs", "logs", _logs),
    Route("POST", "/api/v1/cli_sessions", "login", _open_session, public=True),
    Route("GET", "/api/v1/cli_sessions/{session}", "login", _poll_session, public=True),
    Route("POST", "/api/v1/cli_sessions/{session}/redeem", "login", _redeem_session, public=True),
    Route("POST", "/api/v1/sessions", "login", _password_session, public=True),
    Route("POST", "/metrics_post", "login", _metrics, public=True),
)
