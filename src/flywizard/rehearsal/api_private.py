"""Owns the paths that Fly does not have: the builder, databases behind clusters, and the control of the World."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywizard.rehearsal import world_database as postgres
from flywizard.rehearsal.api_messages import Call, RefusalError, Request, Response, Route, answer
from flywizard.rehearsal.backing import PostgresBacking
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import JSON, Image, hexdigits
from flywizard.rehearsal.world_tokens import identify

if TYPE_CHECKING:
    from flywizard.rehearsal.api import Api

TOKEN_HEADER = "x-rehearsal-token"  # noqa: S105


def check(api: Api, request: Request) -> None:
    """Refuse strangers. The builder and the look at a database also take a Fly token, which builds have.

    Raises:
        RefusalError: 403, the control token is missing or wrong.
    """
    given = request.headers.get(TOKEN_HEADER, "")
    shared = request.path.startswith("/_builder/") or (
        request.path.startswith("/_db/") and request.method == "GET"
    )
    if shared and identify(api.world, request.headers.get("authorization", "")) is not None:
        return
    if api.control and not hmac.compare_digest(given.encode(), api.control.encode()):
        raise RefusalError(403, "the control token is missing or wrong")


def _build(call: Call) -> Response:
    api, body = call.api, call.request.json()
    world, speed = api.world, api.clock.speed
    app, tag = str(body.get("app", "")), str(body.get("tag", ""))
    if app not in world.apps:
        raise RefusalError(404, f'Could not find App "{app}"', "not_found")
    if not tag:
        raise RefusalError(422, "tag can't be blank")
    args = {str(k): str(v) for k, v in (body.get("args") or {}).items()}
    web = body.get("kind") == "web" or any(name.startswith("NEXT_") for name in args)
    kind = str(body.get("kind") or ("web" if web else "api"))
    context = str(body.get("context_digest", ""))
    same = [
        i
        for i in world.images.values()
        if i.app == app and i.context_digest == context and i.args == args and context
    ]
    lasts = world.durations
    seconds = lasts.build_cached if same else lasts.build_web if web else lasts.build_api
    steps = _steps(web, seconds, cached=bool(same))
    if api.faults.strikes("build-fails", app):
        failing = "npm run build" if web else "pip install --no-cache-dir -r requirements.txt"
        error = f'process "/bin/sh -c {failing}" did not complete successfully: exit code: 1'
        log = _FAILURE["web" if web else "api"]
        steps = [s for s in steps if not s["name"].startswith("exporting")]
        steps[-1] = steps[-1] | {"name": f"RUN {failing}", "lines": log, "error": error}
        seconds = sum(s["seconds"] for s in steps)
        raise RefusalError(422, error, body={"error": error, "seconds": seconds, "steps": steps})
    ref = f"registry.fly.io/{app}:{tag}"
    digest = (
        same[0].digest
        if same
        else "sha256:" + hexdigits(f"{world.key}:{app}:{context}:{sorted(args.items())}", 64)
    )
    image = world.add_image(
        ref,
        call.now,
        app=app,
        digest=digest,
        size=186_000_000 if web else 212_000_000,
        ready_at=call.now + seconds / speed,
        kind=kind,
        args=args,
        context_digest=context,
    )
    return answer(
        {
            "ref": ref,
            "digest": image.digest,
            "size": image.size,
            "seconds": seconds,
            "real_seconds": seconds / speed,
            "cached": bool(same),
            "steps": steps,
        }
    )


def _steps(web: bool, seconds: float, *, cached: bool) -> list[JSON]:
    names = _STEPS["web" if web else "api"]
    shares = (0.02, 0.05, 0.03, 0.45, 0.25, 0.2)
    found: list[JSON] = []
    for (name, log), share in zip(names, shares, strict=True):
        again = cached and not name.startswith(("[internal]", "exporting"))
        found.append(
            {
                "name": name,
                "seconds": 0.0 if again else round(seconds * share, 3),
                "cached": again,
                "lines": [] if again else list(log),
            }
        )
    return found


_STEPS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "api": (
        ("[internal] load build definition from Dockerfile", ("transferring dockerfile: 612B done",)),
        (
            "[1/4] FROM docker.io/library/python:3.12-slim",
            ("resolve docker.io/library/python:3.12-slim done",),
        ),
        ("[internal] load build context", ("transferring context: 48.2kB done",)),
        (
            "[3/4] RUN pip install --no-cache-dir -r requirements.txt",
            (
                "Collecting fastapi",
                "Collecting aiokafka",
                "Collecting asyncpg",
                "Successfully installed 31 packages",
            ),
        ),
        ("[4/4] COPY . .", ()),
        ("exporting to image", ("exporting layers done", "pushing layers done")),
    ),
    "web": (
        ("[internal] load build definition from Dockerfile", ("transferring dockerfile: 934B done",)),
        (
            "[deps 1/3] FROM docker.io/library/node:22-alpine",
            ("resolve docker.io/library/node:22-alpine done",),
        ),
        ("[internal] load build context", ("transferring context: 121.7kB done",)),
        ("[deps 3/3] RUN npm ci", ("added 341 packages in 21s",)),
        (
            "[builder 4/4] RUN npm run build",
            ("▲ Next.js 16.0.0", "Creating an optimized production build ...", "✓ Compiled successfully"),
        ),
        ("exporting to image", ("exporting layers done", "pushing layers done")),
    ),
}
_FAILURE: dict[str, list[str]] = {
    "api": [
        "Collecting fastapi",
        "ERROR: Could not find a version that satisfies the requirement fastapi==99.0.0",
        "ERROR: No matching distribution found for fastapi==99.0.0",
    ],
    "web": [
        "▲ Next.js 16.0.0",
        "Failed to compile.",
        "./app/page.tsx:3:10",
        "Type error: Cannot find name 'Ticket'.",
    ],
}


def _image_view(image: Image, now: float) -> JSON:
    return {
        "ref": image.ref,
        "digest": image.digest,
        "size": image.size,
        "args": image.args,
        "ready": image.ready_at <= now,
        "context_digest": image.context_digest,
    }


def _image(call: Call) -> Response:
    image = call.api.world.images.get(f"registry.fly.io/{call.parts['app']}:{call.parts['tag']}")
    if image is None:
        raise RefusalError(404, "no such image", "not_found")
    return answer(_image_view(image, call.now))


def _images(call: Call) -> Response:
    return answer({"images": [_image_view(i, call.now) for i in call.api.world.images.values()]})


def _put_image(call: Call) -> Response:
    body = call.request.json()
    ref = str(body.get("ref", ""))
    if not ref:
        raise RefusalError(422, "ref can't be blank")
    args = {str(k): str(v) for k, v in (body.get("args") or {}).items()}
    image = call.api.world.add_image(ref, call.now, args=args, kind=str(body.get("kind", "")))
    return answer(_image_view(image, call.now), 201)


def _register_database(call: Call) -> Response:
    body = call.request.json()
    if body.get("data_dir"):
        call.api.backing = PostgresBacking(Path(str(body["data_dir"])))
        call.api.world.databases.clear()
        return answer({"ok": True})
    if not body.get("host") or not body.get("port"):
        raise RefusalError(422, "host and port are needed")
    known = ("host", "port", "user", "password", "database")
    cluster = str(body.get("cluster") or "*")
    call.api.world.databases[cluster] = {key: body[key] for key in known if body.get(key)}
    return answer({"ok": True})


def _database(call: Call) -> Response:
    cluster = call.api.world.clusters.get(call.parts["cluster"])
    if cluster is None:
        raise RefusalError(404, "not found", "not_found")
    return answer(postgres.endpoint(call.api.world, cluster) | {"status": postgres.status(cluster, call.now)})


def summary(world: World, faults: Faults) -> JSON:
    """Return what a test or a screen wants to know of the World."""
    kinds = ("app", "machine", "volume", "cluster", "release", "image", "address", "token")
    return {
        "counts": {kind: world.count(kind) for kind in kinds},
        "names": {
            "apps": sorted(world.apps),
            "clusters": sorted(c.name for c in world.clusters.values()),
            "machines": {m.id: [m.app, m.group] for m in world.machines.values()},
        },
        "changes": [f"{r.method} {r.path}" for r in world.changes()],
        "requests": [
            {
                "method": r.method,
                "path": r.path,
                "operation": r.operation,
                "status": r.status,
                "mutating": r.mutating,
                "committed": r.committed,
                "fault": r.fault,
            }
            for r in world.requests
        ],
        "reads": world.reads,
        "faults": faults.texts(),
    }


def _summary(call: Call) -> Response:
    return answer(summary(call.api.world, call.api.faults) | {"speed": call.api.clock.speed, "now": call.now})


def _control(call: Call) -> Response:
    api, body = call.api, call.request.json()
    if body.get("reset"):
        fresh = World(durations=api.world.durations)
        fresh.databases = api.world.databases
        api.world = fresh
        api.faults.clear()
    try:
        if "faults" in body:
            wanted = Faults(_texts(body["faults"]))
            api.faults.clear()
            for text in wanted.texts():
                api.faults.add(text)
    except ValueError as error:
        raise RefusalError(422, str(error)) from None
    for line in body.get("say") or []:
        _say(api, line, call.now)
    if body.get("shutdown"):
        api.on_shutdown()
    api.on_commit()
    return answer(summary(api.world, api.faults))


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise RefusalError(422, "faults: a list of texts is expected")
    return [str(text) for text in value]


def _say(api: Api, line: JSON, now: float) -> None:
    app = str(line.get("app", ""))
    instance = next((m.id for m in api.world.machines.values() if m.app == app), "")
    said = {"at": now, "app": app, "instance": str(line.get("instance") or instance)}
    said |= {"message": str(line.get("message", "")), "level": str(line.get("level") or "info")}
    api.world.said.append(said)


ROUTES: tuple[Route, ...] = (
    Route("POST", "/_builder/builds", "build", _build, mutating=True),
    Route("GET", "/_builder/images", "build", _images),
    Route("POST", "/_builder/images", "build", _put_image, mutating=True),
    Route("GET", "/_builder/images/{app}/{tag}", "build", _image),
    Route("POST", "/_db/register", "graphql", _register_database),
    Route("GET", "/_db/{cluster}", "graphql", _database),
    Route("GET", "/_world", "graphql", _summary),
    Route("POST", "/_world", "graphql", _control),
)
