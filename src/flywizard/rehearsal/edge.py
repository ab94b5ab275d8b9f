"""Owns what the deployed services answer to the public: health, a page, and a script with the build arguments."""

from __future__ import annotations

import html
import json
import re

from flywizard.rehearsal import world_logs
from flywizard.rehearsal import world_machines as machines
from flywizard.rehearsal.api_messages import Request, Response, answer, page
from flywizard.rehearsal.clock import RehearsalClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import App, Image, Machine

PREFIX = "/_edge/"
SCRIPT = "/_next/static/chunks/app.js"
DEEP = frozenset({"/ready", "/readyz", "/readiness", "/health/ready", "/health/deep", "/healthz/ready"})
"""Routes by which services say that what they rest on is there; the World's services are always ready."""
_HOST = re.compile(r"(?P<app>[a-z0-9-]+)\.fly\.dev(:\d+)?\Z")


def is_edge(request: Request) -> bool:
    """Tell whether a request is for a deployed service: by its path ``/_edge/APP/…`` or its Host."""
    return request.path.startswith(PREFIX) or _HOST.match(request.headers.get("host", "")) is not None


def target(request: Request) -> tuple[str, str]:
    """Return (app, path) of a request for a deployed service."""
    if request.path.startswith(PREFIX):
        app, _, rest = request.path[len(PREFIX) :].partition("/")
        return app, "/" + rest
    match = _HOST.match(request.headers.get("host", ""))
    return (match["app"] if match else ""), request.path


def serve(world: World, clock: RehearsalClock, faults: Faults, request: Request) -> Response:
    """Answer like the service would, if one of its machines is started and healthy; else like Fly's proxy."""
    name, path = target(request)
    app = world.apps.get(name)
    if app is None:
        return _proxy(404, "there is no app of this name")
    if not any(a["type"] in ("v4", "shared_v4", "v6") for a in app.addresses):
        return _proxy(404, "the app has no public address")
    now = clock.now()
    serving = [
        m
        for m in world.machines.values()
        if m.app == name and m.config.get("services") and not m.cordoned and _state(m, now) != "destroyed"
    ]
    ready = [m for m in serving if machines.healthy(world, m, now, clock.speed) or _wakes(m, now)]
    if not ready:
        started = any(_state(m, now) == "started" for m in serving)
        text = "no healthy machine" if started else "could not find a good candidate within 40 attempts"
        return _proxy(503 if started else 502, text)
    if faults.strikes("wrong-page", name):
        return page("<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>")
    machine = ready[0]
    image = world.images.get(str(machine.config.get("image", "")))
    if world_logs.role(world, machine) == "web":
        base = PREFIX + name if request.path.startswith(PREFIX) else ""
        return _web(app, machine, image, path, base)
    return _api(app, machine, path)


def _state(machine: Machine, now: float) -> str:
    return machines.phase(machine, now)


def _wakes(machine: Machine, now: float) -> bool:
    service = (machine.config.get("services") or [{}])[0]
    return _state(machine, now) == "stopped" and bool(service.get("autostart"))


def _proxy(status: int, text: str) -> Response:
    return page(f"{status} from the proxy: {text}\n", status, "text/plain; charset=utf-8")


def _health_paths(machine: Machine) -> set[str]:
    paths = {path for _, path in machines.check_names(machine) if path}
    return paths or {"/health", "/healthz"}


def _api(app: App, machine: Machine, path: str) -> Response:
    if path.partition("?")[0] in _health_paths(machine):
        return answer({"status": "ok"})
    if path.partition("?")[0] in DEEP:
        return answer({"status": "ready"})
    if path == "/docs":
        return page(f"<!DOCTYPE html><title>{html.escape(app.name)} - Swagger UI</title>")
    if path == "/openapi.json":
        return answer({"openapi": "3.1.0", "info": {"title": app.name, "version": "0.1.0"}, "paths": {}})
    return answer({"detail": "Not Found"}, 404)


def _web(app: App, machine: Machine, image: Image | None, path: str, base: str) -> Response:
    bare = path.partition("?")[0]
    if bare == SCRIPT:
        args = image.args if image else {}
        public = {name: value for name, value in args.items() if name.startswith("NEXT_PUBLIC_")}
        return page(f"self.__env={json.dumps(public)};\n", 200, "application/javascript")
    if bare != "/" and bare in _health_paths(machine):
        return answer({"status": "ok"})
    if bare == "/":
        title = html.escape(app.name)
        return page(
            f'<!DOCTYPE html><html lang="en"><head><title>{title}</title>'
            f'<script src="{base}{SCRIPT}" async=""></script></head><body><main><h1>{title}</h1></main></body></html>'
        )
    return page("<!DOCTYPE html><title>404: This page could not be found.</title>", 404)
