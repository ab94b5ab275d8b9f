"""Owns the Machines API's apps, secrets, volumes, addresses, certificates and regions (``/v1/…``)."""

from __future__ import annotations

import re

from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.world_machines import phase
from flywizard.rehearsal.world_records import JSON, App, hexdigits, stamp

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def app_of(call: Call, text: str = "app not found") -> App:
    """Return the app of the path.

    Raises:
        RefusalError: 404 unknown, 403 someone else's or outside a deploy token's reach.
    """
    name = call.parts["app"]
    app = call.api.world.apps.get(name)
    if app is None:
        if name in call.api.world.taken:
            raise RefusalError(403, "You are not allowed to access this app", "forbidden")
        raise RefusalError(404, text, "not_found")
    if call.who.kind == "deploy" and call.who.app != name:
        raise RefusalError(403, "You are not allowed to access this app", "forbidden")
    return app


def app_view(call: Call, app: App) -> JSON:
    """Return the app object of the Machines API."""
    world = call.api.world
    org = world.organization(app.org)
    machines = [m for m in world.machines.values() if m.app == app.name and phase(m, call.now) != "destroyed"]
    return {
        "id": app.id,
        "name": app.name,
        "internal_numeric_id": app.numeric_id,
        "network": app.network,
        "status": app.status,
        "machine_count": len(machines),
        "volume_count": sum(1 for v in world.volumes.values() if v.app == app.name and not v.destroyed),
        "organization": {
            "name": org.name if org else "",
            "slug": org.slug if org else "",
            "internal_numeric_id": org.numeric_id if org else 0,
        },
        "cname_target": cname(app),
        "app_role": app.app_role,
    }


def cname(app: App) -> str:
    """Return an app's target for CNAME records."""
    return f"{hexdigits(app.id, 6)}.{app.name}.fly.dev"


def _regions(call: Call) -> Response:
    world = call.api.world
    regions = [
        {
            "code": r.code,
            "name": r.name,
            "latitude": r.latitude,
            "longitude": r.longitude,
            "gateway_available": True,
            "requires_paid_plan": False,
            "deprecated": r.deprecated,
            "capacity": 100,
            "geo_region": r.geo_region,
            "mpg_available": r.mpg_available,
        }
        for r in world.regions
    ]
    return answer({"Regions": regions, "Nearest": world.nearest})


def _placements(call: Call) -> Response:
    body = call.request.json()
    region = str(body.get("region") or call.api.world.nearest)
    count = int(body.get("count") or 1)
    return answer({"Regions": [{"Region": region, "Count": count, "Concurrency": count}]})


def _list_apps(call: Call) -> Response:
    slug, role = call.request.query.get("org_slug", ""), call.request.query.get("app_role")
    org = call.api.world.organization(slug)
    if slug and org is None:
        raise RefusalError(404, f"Organization {slug} not found", "not_found")
    if call.who.kind == "deploy":
        raise RefusalError(403, "You are not allowed to list apps in this organization", "forbidden")
    apps = [
        app_view(call, app)
        for app in call.api.world.apps.values()
        if (org is None or app.org == org.raw_slug) and (role is None or app.app_role == role)
    ]
    return answer({"total_apps": len(apps), "apps": apps})


def _create_app(call: Call) -> Response:
    world, faults = call.api.world, call.api.faults
    body = call.request.json()
    name, slug = str(body.get("name", "")), str(body.get("org_slug", ""))
    org = world.organization(slug)
    if org is None:
        raise RefusalError(404, f"Organization {slug} not found", "not_found")
    if call.who.kind in ("deploy", "readonly"):
        raise RefusalError(403, "You are not allowed to create apps in this organization", "forbidden")
    if not NAME.match(name):
        raise RefusalError(422, "Name may only contain numbers, lowercase letters and dashes")
    if faults.on("name-taken", name):
        world.taken.add(name)
    if name in world.apps or name in world.taken:
        raise RefusalError(422, "Name has already been taken", "name_taken")
    require_card(call)
    app = world.create_app(
        name, org, call.now, role=str(body.get("app_role_id") or ""), network=str(body.get("network") or "")
    )
    return answer(app_view(call, app), 201)


def require_card(call: Call) -> None:
    """Refuse what costs money when the organisation has no card.

    Raises:
        RefusalError: 422.
    """
    if call.api.faults.on("no-card"):
        text = "payment method required to continue: add a credit card to your organization's billing page"
        raise RefusalError(422, text, "unknown", {"error": text, "errors": {"detail": text}})


def _get_app(call: Call) -> Response:
    name = call.parts["app"]
    faults, world = call.api.faults, call.api.world
    if name not in world.apps and faults.on("name-taken", name):
        world.taken.add(name)
    app = app_of(call, f'Could not find App "{name}"')
    if faults.strikes("app-hidden", name):
        raise RefusalError(404, "app not found", "not_found")
    return answer(app_view(call, app))


def _delete_app(call: Call) -> Response:
    call.api.world.delete_app(app_of(call).name)
    return answer({}, 202)


def secrets_view(app: App) -> list[JSON]:
    """Return names and digests, by name."""
    return [
        {
            "name": name,
            "digest": secret["digest"],
            "created_at": stamp(secret["created_at"]),
            "updated_at": stamp(secret["updated_at"]),
        }
        for name, secret in sorted(app.secrets.items())
    ]


def _list_secrets(call: Call) -> Response:
    return answer({"secrets": secrets_view(app_of(call))})


def _set_secrets(call: Call) -> Response:
    app = app_of(call)
    values = call.request.json().get("values")
    if not isinstance(values, dict):
        raise RefusalError(400, "values: an object is expected")
    kept: dict[str, str | None] = {}
    for name, value in values.items():
        if not isinstance(value, str | None):
            raise RefusalError(400, "values: texts are expected")
        if not call.api.faults.strikes("secret-dropped", str(name)):
            kept[str(name)] = value
    version = call.api.world.set_secrets(app, kept, call.now)
    return answer({"secrets": secrets_view(app), "version": version})


def _get_secret(call: Call) -> Response:
    for secret in secrets_view(app_of(call)):
        if secret["name"] == call.parts["name"]:
            return answer(secret)
    raise RefusalError(404, "secret not found", "not_found")


def _set_secret(call: Call) -> Response:
    app = app_of(call)
    value = call.request.json().get("value")
    version = call.api.world.set_secrets(app, {call.parts["name"]: str(value or "")}, call.now)
    shown = next(s for s in secrets_view(app) if s["name"] == call.parts["name"])
    return answer(shown | {"version": version}, 201)


def _delete_secret(call: Call) -> Response:
    version = call.api.world.set_secrets(app_of(call), {call.parts["name"]: None}, call.now)
    return answer({"version": version})


_APP = "/v1/apps/{app}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/platform/regions", "regions", _regions),
    Route("POST", "/v1/platform/placements", "placements", _placements),
    Route("GET", "/v1/apps", "app-list", _list_apps),
    Route("POST", "/v1/apps", "app-create", _create_app, mutating=True),
    Route("GET", _APP, "app-get", _get_app),
    Route("DELETE", _APP, "app-delete", _delete_app, mutating=True),
    Route("GET", _APP + "/secrets", "secrets-list", _list_secrets),
    Route("POST", _APP + "/secrets", "secrets-set", _set_secrets, mutating=True),
    Route("GET", _APP + "/secrets/{name}", "secrets-list", _get_secret),
    Route("POST", _APP + "/secrets/{name}", "secrets-set", _set_secret, mutating=True),
    Route("DELETE", _APP + "/secrets/{name}", "secrets-set", _delete_secret, mutating=True),
)
