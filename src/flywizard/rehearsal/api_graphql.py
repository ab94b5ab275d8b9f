"""Owns ``POST /graphql``: what a document asks for, and the resolvers over the World."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from flywizard.rehearsal import world_tokens
from flywizard.rehearsal.api_apps import cname
from flywizard.rehearsal.api_attached import assign_address
from flywizard.rehearsal.api_messages import Call, Identity, RefusalError, Request, Response, answer
from flywizard.rehearsal.api_uiex import billing
from flywizard.rehearsal.graphql_schema import schema
from flywizard.rehearsal.world_records import JSON, App, Organization, Release, hexdigits, stamp

if TYPE_CHECKING:
    from graphql import DocumentNode

CHANGING = {"allocateIpAddress", "releaseIpAddress", "createLimitedAccessToken", "deleteLimitedAccessToken"}
_CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com AAAA"
_NAMES = {
    "viewer": "viewer",
    "organizations": "orgs",
    "organization": "org-get",
    "platform": "regions",
    "nearestRegion": "regions",
    "apps": "app-list",
    "allocateIpAddress": "ip-assign",
    "releaseIpAddress": "ip-release",
    "createLimitedAccessToken": "token-create",
    "deleteLimitedAccessToken": "token-create",
    "logOut": "login",
}
_APP_FIELDS = {
    "image": "image-get",
    "releases": "release-list",
    "releasesUnprocessed": "release-list",
    "ipAddresses": "ip-list",
    "limitedAccessTokens": "token-list",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed document with its variables."""

    document: DocumentNode
    variables: Mapping[str, Any]
    name: str | None
    roots: tuple[str, ...]
    operation: str
    """Our operation name."""
    mutating: bool


def read(request: Request) -> Question:
    """Parse a request.

    Raises:
        RefusalError: 400 not GraphQL.
    """
    from graphql import GraphQLSyntaxError, OperationDefinitionNode, parse

    body = request.json()
    try:
        document = parse(str(body.get("query", "")), no_location=True)
    except GraphQLSyntaxError as error:
        raise RefusalError(400, error.message, body={"errors": [{"message": error.message}]}) from None
    wanted = body.get("operationName") or None
    found = [
        node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        and (wanted is None or (node.name is not None and node.name.value == wanted))
    ]
    if not found:
        raise RefusalError(400, "no operation", body={"errors": [{"message": "No operation was found"}]})
    roots: list[str] = []
    inner: list[str] = []
    for selection in found[0].selection_set.selections:
        roots.append(_name(selection))
        below = getattr(selection, "selection_set", None)
        inner += [_name(s) for s in below.selections] if below else []
    operation = _NAMES.get(roots[0], "graphql")
    if roots[0] == "app":
        operation = next((_APP_FIELDS[field] for field in inner if field in _APP_FIELDS), "app-query")
    return Question(
        document,
        body.get("variables") or {},
        wanted,
        tuple(roots),
        operation,
        any(root in CHANGING for root in roots),
    )


def _name(node: Any) -> str:
    name = getattr(node, "name", None)
    return str(name.value) if name is not None else ""


def run(call: Call, question: Question) -> Response:
    """Execute a question and return its answer; errors come with HTTP 200, as Fly's do.

    Fields that the schema does not know are left out rather than refused, so that other versions of
    flyctl go on working.
    """
    from graphql import GraphQLError, execute_sync

    built = schema()
    for root in question.roots:
        known = built.query_type.fields if built.query_type else {}
        changing = built.mutation_type.fields if built.mutation_type else {}
        if root not in known and root not in changing and not root.startswith("__"):
            return answer({"errors": [{"message": f"Field '{root}' doesn't exist on type 'Query'"}]})
    result = execute_sync(
        built,
        question.document,
        root_value=_roots(call),
        variable_values=dict(question.variables),
        operation_name=question.name,
    )
    body: JSON = {}
    if result.errors:
        body["errors"] = [
            {
                "message": error.message,
                **({"path": error.path} if error.path else {}),
                **({"extensions": error.extensions} if error.extensions else {}),
            }
            for error in result.errors
            if isinstance(error, GraphQLError)
        ]
    body["data"] = result.data
    return answer(body)


def fail(message: str, code: str = "") -> Exception:
    """Return an error that becomes one entry of ``errors``."""
    from graphql import GraphQLError

    return GraphQLError(message, extensions={"code": code} if code else None)


def _roots(call: Call) -> dict[str, Callable[..., Any]]:
    resolvers: dict[str, Callable[..., Any]] = {
        "viewer": _viewer,
        "organizations": _organizations,
        "organization": _organization,
        "platform": _platform,
        "nearestRegion": _nearest,
        "app": _app,
        "apps": _apps,
        "appNameAvailable": _name_available,
        "latestImageTag": lambda call, info, repository, snapshotId=None: f"{repository}:17.2",  # noqa: N803
        "latestImageDetails": lambda call, info, image, flyVersion=None: None,  # noqa: N803
        "canPerformBluegreenDeployment": lambda call, info, name: True,
        "allocateIpAddress": _allocate,
        "releaseIpAddress": _release_address,
        "createLimitedAccessToken": _create_token,
        "deleteLimitedAccessToken": _delete_token,
        "validateWireGuardPeers": _no_wireguard,
        "addWireGuardPeer": _no_wireguard,
        "issueCertificate": lambda call, info, **_: {"certificate": _CERTIFICATE, "key": "SSHKEY"},
        "enablePostgresConsul": lambda call, info, **_: {"consulUrl": "https://consul.example"},
        "logOut": lambda call, info, **_: {"ok": True},
    }
    return {name: partial(function, call) for name, function in resolvers.items()}


def _person(who: Identity) -> JSON:
    return {
        "id": "u1",
        "email": who.email,
        "name": who.email.partition("@")[0].title(),
        "enablePaidHobby": False,
    }


def _viewer(call: Call, info: Any) -> JSON:
    kind = "User" if call.who.kind == "user" else "Macaroon"
    return {"__typename": kind, **_person(call.who)}


def organization_fields(call: Call, org: Organization) -> JSON:
    """Return all GraphQL fields of an organisation."""
    billable, status = billing(call, org)
    return {
        "id": org.id,
        "slug": org.slug,
        "rawSlug": org.raw_slug,
        "name": org.name,
        "type": org.type,
        "internalNumericId": str(org.numeric_id),
        "paidPlan": org.paid_plan,
        "billable": billable,
        "billingStatus": status,
        "viewerRole": "admin",
        "addOnSsoLink": None,
        "provisionsBetaExtensions": False,
        "remoteBuilderImage": "",
        "limitedAccessTokens": lambda info: {"nodes": _tokens(call, org=org)},
        "addOns": lambda info, **_: {"nodes": []},
    }


def _organizations(call: Call, info: Any, **_: Any) -> JSON:
    if call.who.kind == "deploy" or call.api.faults.on("sso"):
        raise fail("You must be authenticated to view this.", "UNAUTHORIZED")
    return {"nodes": [organization_fields(call, org) for org in call.api.world.organizations]}


def _organization(call: Call, info: Any, **given: Any) -> JSON:
    org = call.api.world.organization(str(given.get("slug") or given.get("id") or ""))
    if org is None:
        raise fail("Could not find Organization", "NOT_FOUND")
    return organization_fields(call, org)


def _region(call: Call, code: str) -> JSON:
    region = call.api.world.region(code)
    assert region is not None  # noqa: S101
    return {
        "code": region.code,
        "name": region.name,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "gatewayAvailable": True,
        "requiresPaidPlan": False,
        "deprecated": region.deprecated,
    }


def _platform(call: Call, info: Any) -> JSON:
    world = call.api.world
    return {"requestRegion": world.nearest, "regions": [_region(call, r.code) for r in world.regions]}


def _nearest(call: Call, info: Any) -> JSON:
    return _region(call, call.api.world.nearest)


def _release(call: Call, release: Release) -> JSON:
    return {
        "id": release.id,
        "version": release.version,
        "description": "Release",
        "reason": "",
        "status": release.status,
        "imageRef": release.image_ref,
        "stable": release.status == "complete",
        "inProgress": release.status in ("pending", "running"),
        "evaluationId": "",
        "user": _person(Identity(release.user)),
        "createdAt": stamp(release.created_at),
        "configDefinition": release.definition,
        "deploymentStrategy": release.strategy,
        "metadata": release.metadata,
    }


def _tokens(call: Call, org: Organization | None = None, app: str = "") -> list[JSON]:
    return [
        {"id": digest, "name": token.kind, "expiresAt": None, "user": _person(Identity(token.email))}
        for digest, token in call.api.world.tokens.items()
        if token.kind != "user" and (not app or token.app == app)
    ]


def app_fields(call: Call, app: App) -> JSON:
    """Return all GraphQL fields of an app."""
    world = call.api.world
    releases = world.releases_of(app.name)
    deployed = app.status == "deployed"
    org = world.organization(app.org)
    newest = _release(call, releases[0]) if releases else None

    def listed(info: Any, first: int = 25) -> JSON:
        return {"nodes": [_release(call, r) for r in releases[:first]]}

    def image(info: Any, ref: str) -> JSON | None:
        found = world.image(ref, call.now)
        if found is None:
            return None
        return {
            "id": "img_" + hexdigits(found.digest, 8),
            "digest": found.digest,
            "ref": ref,
            "compressedSize": found.size % 2**31,
            "compressedSizeFull": str(found.size),
            "manifest": {},
        }

    return {
        "id": app.id,
        "internalNumericId": app.numeric_id,
        "name": app.name,
        "hostname": f"{app.name}.fly.dev",
        "cnameTarget": cname(app),
        "deployed": deployed,
        "network": app.network,
        "status": app.status,
        "version": releases[0].version if releases else 0,
        "appUrl": f"https://{app.name}.fly.dev" if deployed else None,
        "platformVersion": "machines",
        "organization": organization_fields(call, org) if org else None,
        "role": {"name": app.app_role} if app.app_role else None,
        "currentRelease": newest,
        "currentReleaseUnprocessed": newest,
        "releases": listed,
        "releasesUnprocessed": listed,
        "config": {"definition": releases[0].definition if releases else ""},
        "services": [],
        "ipAddresses": {"nodes": [_address(a) for a in app.addresses if not a["shared"]]},
        "sharedIpAddress": next((a["ip"] for a in app.addresses if a["shared"]), None),
        "egressIpAddresses": {"nodes": []},
        "image": image,
        "imageDetails": None,
        "imageUpgradeAvailable": False,
        "machines": {"nodes": []},
        "limitedAccessTokens": lambda info: {"nodes": _tokens(call, app=app.name)},
    }


def _address(address: JSON) -> JSON:
    return {
        "id": address["id"],
        "address": address["ip"],
        "type": address["type"],
        "region": address["region"],
        "createdAt": stamp(address["created_at"]),
        "network": None,
        "serviceName": address["service_name"],
    }


def _find(call: Call, name: str) -> App:
    world = call.api.world
    app = world.apps.get(name) or next((a for a in world.apps.values() if a.id == name), None)
    if app is None or (call.who.kind == "deploy" and call.who.app != app.name):
        raise fail("Could not find App", "NOT_FOUND")
    return app


def _app(call: Call, info: Any, name: str = "") -> JSON:
    return app_fields(call, _find(call, name))


def _apps(call: Call, info: Any, organizationId: str = "", role: str | None = None, **_: Any) -> JSON:  # noqa: N803
    org = call.api.world.organization(organizationId) if organizationId else None
    found = [
        app_fields(call, app)
        for app in call.api.world.apps.values()
        if (org is None or app.org == org.raw_slug) and (role is None or app.app_role == role)
    ]
    return {"pageInfo": {"hasNextPage": False, "endCursor": ""}, "nodes": found}


def _name_available(call: Call, info: Any, name: str) -> bool:
    return name not in call.api.world.apps and name not in call.api.world.taken


def _allocate(call: Call, info: Any, **given: Any) -> JSON:
    wanted: JSON = given["input"]
    app = _find(call, str(wanted.get("appId", "")))
    try:
        address = assign_address(call, app, str(wanted.get("type", "")), str(wanted.get("region") or ""))
    except RefusalError as refusal:
        raise fail(str(refusal.args[1])) from None
    return {"ipAddress": _address(address), "app": app_fields(call, app)}


def _release_address(call: Call, info: Any, **given: Any) -> JSON:
    wanted: JSON = given["input"]
    app = _find(call, str(wanted.get("appId", "")))
    app.addresses = [
        a for a in app.addresses if wanted.get("ip") != a["ip"] and wanted.get("ipAddressId") != a["id"]
    ]
    return {"app": app_fields(call, app), "clientMutationId": None}


def _create_token(call: Call, info: Any, **given: Any) -> JSON:
    wanted: JSON = given["input"]
    if call.who.kind == "deploy":
        raise fail("You must be authenticated to view this.", "UNAUTHORIZED")
    profile = str(wanted.get("profile", ""))
    reference = str((wanted.get("profileParams") or {}).get("app_id", ""))
    app = next((a.name for a in call.api.world.apps.values() if reference in (a.id, a.name)), "")
    kind = "deploy" if profile == "deploy" else "readonly" if profile.startswith("readonly") else "org"
    header = world_tokens.issue(call.api.world, kind=kind, app=app, email=call.who.email)
    return {
        "limitedAccessToken": {
            "id": world_tokens.token_digest(world_tokens.parts(header)[0]),
            "name": str(wanted.get("name", "")),
            "token": header.partition(" ")[2],
            "tokenHeader": header,
        }
    }


def _delete_token(call: Call, info: Any, **given: Any) -> JSON:
    wanted: JSON = given["input"]
    token = str(wanted.get("id") or "")
    if call.api.world.tokens.pop(token, None) is None:
        raise fail("Could not find LimitedAccessToken", "NOT_FOUND")
    call.api.world.refused.add(token)
    return {"token": token}


def _no_wireguard(call: Call, info: Any, **_: Any) -> JSON:
    raise fail("wireguard is not available")
