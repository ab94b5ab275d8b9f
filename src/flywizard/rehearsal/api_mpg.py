"""Owns the dashboard API's Managed Postgres (``/api/v1/…/postgresv2``), with a real database behind it where there is one."""

from __future__ import annotations

from flywizard.rehearsal import world_database as postgres
from flywizard.rehearsal.api_apps import require_card
from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.api_uiex import organization
from flywizard.rehearsal.backing import BackingError
from flywizard.rehearsal.world_records import JSON, Cluster


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


async def _behind(call: Call, cluster: Cluster) -> None:
    """Put the real database behind a cluster that is ready, the first time somebody looks."""
    backing, world = call.api.backing, call.api.world
    if backing is None or cluster.id in world.databases or postgres.status(cluster, call.now) != "ready":
        return
    try:
        real = await backing.create(cluster.id, postgres.password(world, cluster.id, postgres.USER))
    except BackingError as error:
        raise RefusalError(500, str(error)) from None
    postgres.stand_behind(world, cluster, real)


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


async def _mpg_get(call: Call) -> Response:
    cluster, world = _cluster(call), call.api.world
    await _behind(call, cluster)
    view = postgres.view(world, cluster, call.now)
    return answer({"data": view, "credentials": postgres.credentials(world, cluster, call.now)})


def _mpg_v1(call: Call) -> Response:
    raise RefusalError(404, "not found", body={"error": "not found"})


async def _mpg_delete(call: Call) -> Response:
    cluster = _cluster(call)
    if call.api.backing is not None:
        try:
            await call.api.backing.drop(cluster.id)
        except BackingError as error:
            raise RefusalError(500, str(error)) from None
    call.api.world.databases.pop(cluster.id, None)
    del call.api.world.clusters[cluster.id]
    return answer(None, 204)


async def _databases(call: Call) -> Response:
    cluster = _cluster(call)
    await _behind(call, cluster)
    if call.request.method == "POST":
        name = str(call.request.json().get("name", ""))
        if not name or name in cluster.databases:
            raise RefusalError(422, "database name is blank or taken")
        cluster.databases[name] = {"extensions": {}}
        return answer({"data": {"name": name}}, 201)
    return answer({"data": [{"name": name} for name in cluster.databases]})


async def _database(call: Call) -> tuple[Cluster, str]:
    cluster, name = _cluster(call), call.parts["database"]
    await _behind(call, cluster)
    if name not in cluster.databases:
        raise RefusalError(404, "database not found", body={"error": "database not found"})
    return cluster, name


async def _offered(call: Call, cluster: Cluster, name: str) -> list[JSON]:
    backing, real = call.api.backing, None
    if backing is not None and call.api.world.databases.get(cluster.id, {}).get("database") == name:
        try:
            real = await backing.extensions(name)
        except BackingError as error:
            raise RefusalError(500, str(error)) from None
    return postgres.extensions(cluster, name, real)


async def _extensions(call: Call) -> Response:
    return answer({"data": await _offered(call, *await _database(call))})


async def _enable_extension(call: Call) -> Response:
    cluster, name = await _database(call)
    body = call.request.json()
    extension, schema = str(body.get("name", "")), str(body.get("schema") or "public")
    offered = {e["name"]: e for e in await _offered(call, cluster, name)}
    if extension not in offered:
        raise RefusalError(422, f"extension {extension} is not available")
    if offered[extension]["installed"] is not None:
        raise RefusalError(409, "extension already enabled")
    if call.api.backing is not None and call.api.world.databases.get(cluster.id, {}).get("database") == name:
        try:
            await call.api.backing.enable(name, extension, schema)
        except BackingError as error:
            raise RefusalError(422, str(error)) from None
    version = offered[extension]["default_version"]
    cluster.databases[name]["extensions"][extension] = {"version": version, "schema": schema}
    return answer({"data": {}}, 201)


async def _disable_extension(call: Call) -> Response:
    cluster, name = await _database(call)
    if cluster.databases[name]["extensions"].pop(call.parts["extension"], None) is None:
        raise RefusalError(404, "extension is not enabled")
    return answer(None, 204)


async def _users(call: Call) -> Response:
    cluster = _cluster(call)
    await _behind(call, cluster)
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
