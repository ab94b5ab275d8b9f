"""Owns the dashboard API's organisations, builds, releases and Managed Postgres (``/api/v1/…``)."""

from __future__ import annotations

from flywizard.rehearsal import world_database as postgres
from flywizard.rehearsal.api_apps import require_card
from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.world_records import JSON, App, Cluster, Organization, Release, stamp

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


def _no_deploy_tokens(call: Call) -> None:
    if call.who.kind == "deploy":
        detail = "You are not allowed to use Managed Postgres with this token"
        raise RefusalError(403, detail, body={"error": detail, "errors": {"detail": detail}})


def _cluster(call: Call) -> Cluster:
    _no_deploy_tokens(call)
    cluster = call.api.world.clusters.get(call.parts["cluster"])
    if cluster is None:
        raise RefusalError(404, "not found", body={"error": "not found"})
    return cluster


def _mpg_regions(call: Call) -> Response:
    _no_deploy_tokens(call)
    organization(call)
    regions = [{"code": r.code, "available": r.mpg_available} for r in call.api.world.regions]
    return answer({"data": regions})


def _mpg_list(call: Call) -> Response:
    _no_deploy_tokens(call)
    org, world = organization(call), call.api.world
    found = [c for c in world.clusters.values() if c.org == org.raw_slug]
    return answer({"data": [postgres.view(world, c, call.now) | {"version": 2} for c in found]})


def _mpg_create(call: Call) -> Response:
    _no_deploy_tokens(call)
    org, body, api = organization(call), call.request.json(), call.api
    region = api.world.region(str(body.get("region", "")))

    def refuse(status: int, detail: str) -> RefusalError:
        return RefusalError(status, detail, body={"errors": {"detail": detail}})

    if region is None or not region.mpg_available:
        raise refuse(422, f"region {body.get('region')} is not available for Managed Postgres")
    if not body.get("name"):
        raise refuse(422, "name can't be blank")
    if str(body.get("plan", "")).lower() not in postgres.PLANS:
        raise refuse(422, f"plan {body.get('plan')} is invalid")
    require_card(call)
    cluster = postgres.create(
        api.world,
        org,
        body,
        call.now,
        api.clock.speed,
        failed=api.faults.strikes("mpg-error"),
        slow=api.faults.strikes("mpg-slow"),
    )
    return answer(
        {"ok": True, "errors": {}, "data": postgres.created_view(api.world, cluster, call.now)}, 201
    )


def _mpg_get(call: Call) -> Response:
    cluster, world = _cluster(call), call.api.world
    view = postgres.view(world, cluster, call.now)
    return answer({"data": view, "credentials": postgres.credentials(world, cluster, call.now)})


def _mpg_v1(call: Call) -> Response:
    raise RefusalError(404, "not found", body={"error": "not found"})


def _mpg_delete(call: Call) -> Response:
    cluster = _cluster(call)
    del call.api.world.clusters[cluster.id]
    return answer(None, 204)


def _databases(call: Call) -> Response:
    cluster = _cluster(call)
    if call.request.method == "POST":
        name = str(call.request.json().get("name", ""))
        if not name or name in cluster.databases:
            raise RefusalError(422, "database name is blank or taken")
        cluster.databases[name] = {"extensions": {}}
        return answer({"data": {"name": name}}, 201)
    return answer({"data": [{"name": name} for name in cluster.databases]})


def _database(call: Call) -> tuple[Cluster, str]:
    cluster, name = _cluster(call), call.parts["database"]
    if name not in cluster.databases:
        raise RefusalError(404, "database not found", body={"error": "database not found"})
    return cluster, name


def _extensions(call: Call) -> Response:
    cluster, name = _database(call)
    return answer({"data": postgres.extensions(cluster, name)})


def _enable_extension(call: Call) -> Response:
    cluster, name = _database(call)
    body = call.request.json()
    extension = str(body.get("name", ""))
    installed = cluster.databases[name]["extensions"]
    if extension not in postgres.EXTENSIONS:
        raise RefusalError(422, f"extension {extension} is not available")
    if extension in installed:
        raise RefusalError(409, "extension already enabled")
    version = postgres.EXTENSIONS[extension][1]
    installed[extension] = {"version": version, "schema": str(body.get("schema") or "public")}
    return answer({"data": {}}, 201)


def _disable_extension(call: Call) -> Response:
    cluster, name = _database(call)
    if cluster.databases[name]["extensions"].pop(call.parts["extension"], None) is None:
        raise RefusalError(404, "extension is not enabled")
    return answer(None, 204)


def _users(call: Call) -> Response:
    cluster = _cluster(call)
    if call.request.method == "POST":
        body = call.request.json()
        name = str(body.get("user_name") or body.get("name") or body.get("username") or "")
        if not name or name in cluster.users:
            raise RefusalError(422, "user name is blank or taken")
        cluster.users[name] = str(body.get("role") or "writer")
        return answer({"data": {"name": name, "role": cluster.users[name]}}, 201)
    return answer({"data": [{"name": name, "role": role} for name, role in cluster.users.items()]})


def _user(call: Call) -> Response:
    cluster, name = _cluster(call), call.parts["user"]
    if name not in cluster.users:
        raise RefusalError(404, "user not found")
    match call.request.method:
        case "PATCH":
            cluster.users[name] = str(call.request.json().get("role") or cluster.users[name])
            return answer({"data": {"name": name, "role": cluster.users[name]}})
        case "DELETE":
            del cluster.users[name]
            return answer(None, 204)
        case _:
            secret = postgres.password(call.api.world, cluster.id, name)
            return answer({"data": {"username": name, "password": secret}})


def _attach(call: Call) -> Response:
    cluster, name = _cluster(call), str(call.request.json().get("app_name", ""))
    if name not in call.api.world.apps:
        raise RefusalError(404, "app not found")
    if name not in cluster.attachments:
        cluster.attachments.append(name)
    return answer({"data": postgres.attachment_view(call.api.world, cluster, name, call.now)}, 201)


def _detach(call: Call) -> Response:
    cluster, name = _cluster(call), call.parts["app"]
    if name not in cluster.attachments:
        raise RefusalError(404, "attachment not found")
    cluster.attachments.remove(name)
    return answer({"data": {"message": "detached"}})


_ORG = "/api/v1/organizations/{org}"
_MPG = "/api/v1/postgresv2/{cluster}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _ORG, "org-get", _organization),
    Route("POST", "/api/v1/builds", "builds", _start_build, mutating=True),
    Route("POST", "/api/v1/builds/finish", "builds", _finish_build, mutating=True),
    Route("POST", "/api/v1/builds/depot_builder", "builds", _depot_builder, mutating=True),
    Route("POST", "/api/v1/releases", "release-create", _create_release, mutating=True),
    Route("PATCH", "/api/v1/releases/{release}", "release-patch", _patch_release, mutating=True),
    Route("GET", "/api/v1/apps/{app}/releases", "release-list", _list_releases),
    Route("GET", "/api/v1/apps/{app}/releases/current", "release-list", _current_release),
    Route("GET", _ORG + "/postgres", "mpg-list", _mpg_list),
    Route("GET", _ORG + "/postgresv2/regions", "mpg-regions", _mpg_regions),
    Route("POST", _ORG + "/postgresv2", "mpg-create", _mpg_create, mutating=True),
    Route("DELETE", _ORG + "/postgresv2/{cluster}", "mpg-delete", _mpg_delete, mutating=True),
    Route("GET", "/api/v1/postgres/{cluster}", "mpg-get", _mpg_v1),
    Route("GET", _MPG, "mpg-get", _mpg_get),
    Route("GET", _MPG + "/databases", "mpg-databases", _databases),
    Route("POST", _MPG + "/databases", "mpg-databases", _databases, mutating=True),
    Route("GET", _MPG + "/databases/{database}/extensions", "mpg-extensions", _extensions),
    Route(
        "POST", _MPG + "/databases/{database}/extensions", "mpg-extensions", _enable_extension, mutating=True
    ),
    Route(
        "DELETE",
        _MPG + "/databases/{database}/extensions/{extension}",
        "mpg-extensions",
        _disable_extension,
        mutating=True,
    ),
    Route("GET", _MPG + "/users", "mpg-users", _users),
    Route("POST", _MPG + "/users", "mpg-users", _users, mutating=True),
    Route("PATCH", _MPG + "/users/{user}", "mpg-users", _user, mutating=True),
    Route("DELETE", _MPG + "/users/{user}", "mpg-users", _user, mutating=True),
    Route("GET", _MPG + "/users/{user}/credentials", "mpg-users", _user),
    Route("POST", _MPG + "/attachments", "mpg-attach", _attach, mutating=True),
    Route("DELETE", _MPG + "/attachments/{app}", "mpg-detach", _detach, mutating=True),
)
