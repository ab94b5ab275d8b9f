"""Owns the dashboard API's organisations, builds, releases and Managed Postgres (``/api/v1/…``)."""

from __future__ import annotations

from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.world_records import JSON, App, Organization, Release, stamp

STATUSES = ("pending", "running", "complete", "failed", "interrupted")


def organization(call: Call) -> Organization:
    """Return the organisation of the path.

    Raises:
        RefusalError: 404 unknown, 403 for a deploy token.
    """
    org = call.api.world.organization(call.parts["org"])
    if org is None:
        raise RefusalError(404, "organization not found", "not_found")
    return org


def billing(call: Call, org: Organization) -> tuple[bool, str]:
    """Return (billable, billing status), also for an organisation whose card is missing by a switch."""
    if call.api.faults.on("no-card"):
        return False, "SOURCE_REQUIRED"
    return org.billable, org.billing_status


def _organization(call: Call) -> Response:
    org = organization(call)
    billable, status = billing(call, org)
    view = {
        "id": org.id,
        "internal_numeric_id": org.numeric_id,
        "slug": org.slug,
        "raw_slug": org.raw_slug,
        "paid_plan": org.paid_plan,
        "personal": org.type == "PERSONAL",
        "billing_status": status,
        "provisions_beta_extensions": False,
        "name": org.name,
        "billable": billable,
        "remote_builder_image": "",
    }
    return answer({"organization": view})


def _start_build(call: Call) -> Response:
    world = call.api.world
    number = 9000 + world.next("build")
    body = call.request.json()
    world.builds[str(number)] = {"app": str(body.get("app_name", "")), "status": "started", "at": call.now}
    return answer({"id": number, "status": "started", "wallclock_time_ms": 0})


def _finish_build(call: Call) -> Response:
    body = call.request.json()
    number, status = body.get("build_id"), str(body.get("status", "completed"))
    build = call.api.world.builds.get(str(number))
    spent = 10 if build is None else int((call.now - build["at"]) * 1000)
    if build is not None:
        build["status"] = status
    return answer({"id": number, "status": status, "wallclock_time_ms": max(10, spent)})


def _depot_builder(call: Call) -> Response:
    raise RefusalError(422, "depot is not available", body={"error": "depot is not available"})


def _app(call: Call, name: str) -> App:
    app = call.api.world.apps.get(name)
    if app is None:
        raise RefusalError(404, "Could not find App", "not_found")
    if call.who.kind == "readonly" or (call.who.kind == "deploy" and call.who.app != name):
        raise RefusalError(403, "forbidden", "forbidden")
    return app


def release_view(release: Release) -> JSON:
    """Return the release object of the dashboard API."""
    return {
        "id": release.id,
        "version": release.version,
        "stable": release.status == "complete",
        "in_progress": release.status in ("pending", "running"),
        "status": release.status,
        "strategy": release.strategy,
        "user": release.user,
        "created_at": stamp(release.created_at),
        "image_ref": release.image_ref,
    }


def _create_release(call: Call) -> Response:
    body, world = call.request.json(), call.api.world
    app = _app(call, str(body.get("app_name", "")))
    version = max((r.version for r in world.releases_of(app.name)), default=0) + 1
    definition = body.get("definition")
    release = Release(
        id="rel" + world.new_id("release", 10),
        app=app.name,
        version=version,
        status="pending",
        strategy=str(body.get("strategy") or "ROLLING"),
        user=call.who.email,
        created_at=call.now,
        image_ref=str(body.get("image", "")),
        definition=definition if isinstance(definition, dict) else {},
    )
    world.releases[release.id] = release
    return answer({"release": release_view(release)}, 201)


def _patch_release(call: Call) -> Response:
    release = call.api.world.releases.get(call.parts["release"])
    if release is None:
        raise RefusalError(404, "release not found", "not_found")
    app, body = _app(call, release.app), call.request.json()
    status = str(body.get("status") or release.status)
    if status not in STATUSES:
        raise RefusalError(422, f"unknown status {status}")
    release.status = status
    if body.get("metadata") is not None:
        release.metadata = body["metadata"]
    if status == "complete":
        app.status = "deployed"
    return answer(release_view(release))


def _list_releases(call: Call) -> Response:
    app = _app(call, call.parts["app"])
    limit = int(call.request.query.get("limit") or 20)
    return answer({"releases": [release_view(r) for r in call.api.world.releases_of(app.name)[:limit]]})


def _current_release(call: Call) -> Response:
    releases = call.api.world.releases_of(_app(call, call.parts["app"]).name)
    if not releases:
        raise RefusalError(404, "release not found", "not_found")
    return answer(release_view(releases[0]))


_ORG = "/api/v1/organizations/{org}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _ORG, "org-get", _organization),
    Route("POST", "/api/v1/builds", "builds", _start_build, mutating=True),
    Route("POST", "/api/v1/builds/finish", "builds", _finish_build, mutating=True),
    Route("POST", "/api/v1/builds/depot_builder", "builds", _depot_builder, mutating=True),
    Route("POST", "/api/v1/releases", "release-create", _create_release, mutating=True),
    Route("PATCH", "/api/v1/releases/{release}", "release-patch", _patch_release, mutating=True),
    Route("GET", "/api/v1/apps/{app}/releases", "release-list", _list_releases),
    Route("GET", "/api/v1/apps/{app}/releases/current", "release-list", _current_release),
)
