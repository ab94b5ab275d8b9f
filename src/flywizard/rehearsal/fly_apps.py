"""The stand-in's commands about apps: create, list, destroy, status, releases, addresses, tokens."""

from __future__ import annotations

from flywizard.rehearsal import fly_shapes as shapes
from flywizard.rehearsal.fly_account import chosen_organization
from flywizard.rehearsal.fly_core import Failure, Fly, Json, StatusFailure, duration_text, seconds_of, table

APP_COMPACT = (
    "query ($appName: String!) { appcompact:app(name: $appName) { id internalNumericId name hostname cnameTarget"
    " deployed network status appUrl platformVersion organization { id internalNumericId slug paidPlan }"
    " postgresAppRole: role { name } } }"
)
APP_BASIC = (
    "query ($appName: String!) { appbasic:app(name: $appName) { id name platformVersion organization { id"
    " internalNumericId slug rawSlug paidPlan } } }"
)
APP_FULL = (
    "query ($appName: String!) { app(name: $appName) { id internalNumericId name hostname deployed status version"
    " appUrl platformVersion currentRelease { evaluationId status inProgress version } config { definition }"
    " organization { id slug paidPlan } services { description protocol internalPort ports { port handlers } }"
    " ipAddresses { nodes { id address type createdAt } } sharedIpAddress cnameTarget imageDetails { registry"
    " repository tag digest version } machines{ nodes { id name config state region createdAt app { name } ips {"
    " nodes { family kind ip maskSize } } host { id } } } postgresAppRole: role { name } } }"
)
APPS = (
    'query($org: ID, $after: String) { apps(type: "container", first: 200, after: $after, organizationId: $org) {'
    " pageInfo { hasNextPage endCursor } nodes { id name deployed hostname platformVersion network"
    " organization { slug name } currentRelease { createdAt status } status } } }"
)
ORGANIZATION = "query($slug: String!) { organization(slug: $slug) { id internalNumericId slug rawSlug name type billable } }"
ADD_ONS = (
    "query ListOrganizationAddOns ($orgSlug: String!, $addOnType: AddOnType) { organization(slug: $orgSlug) {"
    " addOns(type: $addOnType) { nodes { id name } } } }"
)
CURRENT_RELEASE = (
    "query ($appName: String!) { app(name: $appName) { currentRelease: currentReleaseUnprocessed { id version"
    " description reason status imageRef stable user { id email name } createdAt } } }"
)
RELEASES = (
    "query ($appName: String!, $limit: Int!) { app(name: $appName) { releases: releasesUnprocessed(first: $limit) {"
    " nodes { id version description reason status imageRef stable user { id email name } createdAt } } } }"
)
IPS = (
    "query($appName: String!) { app(name: $appName) { ipAddresses { nodes { id address type region createdAt"
    " serviceName } } sharedIpAddress } }"
)
EGRESS = "query($appName: String!) { app(name: $appName) { egressIpAddresses { nodes { id ip version region } } } }"
ALLOCATE = (
    "mutation($input: AllocateIPAddressInput!) { allocateIpAddress(input: $input) { app { sharedIpAddress }"
    " ipAddress { id address type region createdAt } } }"
)
LIMITED = (
    "mutation CreateLimitedAccessToken ($name: String!, $organizationId: ID!, $profile: String!, $profileParams: JSON,"
    " $expiry: String!) { createLimitedAccessToken(input: {name: $name, organizationId: $organizationId, profile:"
    " $profile, profileParams: $profileParams, expiry: $expiry}) { limitedAccessToken { tokenHeader } } }"
)


async def app_compact(fly: Fly, name: str) -> Json:
    """The app by GraphQL, in its short form.

    Raises:
        Failure: it is not there (`Could not find App`), or the request failed.
    """
    return (await fly.gql(APP_COMPACT, {"appName": name}))["appcompact"]


async def app_basic(fly: Fly, name: str) -> Json:
    """The app and its organisation by GraphQL, in its shortest form."""
    return (await fly.gql(APP_BASIC, {"appName": name}))["appbasic"]


async def make_app(fly: Fly, name: str, organization: Json, *, role: str = "", network: str = "") -> Json:
    """Creates an app and waits until it can be seen, for at most a minute."""
    body = {"name": name, "org_slug": organization.get("slug"), "network": network, "app_role_id": role}
    made = await fly.flaps("POST", "/v1/apps?wait=true", body)
    begun = fly.transport.now()
    while True:
        try:
            await fly.flaps("GET", f"/v1/apps/{name}")
        except StatusFailure as failure:
            if failure.status not in (401, 404) or fly.transport.now() - begun > 60:
                raise
            await fly.transport.sleep(1.0)
        else:
            return made


async def create(fly: Fly) -> None:
    """`fly apps create`."""
    name = (fly.args[0] if fly.args else "") or fly.flag("name")
    if not name and not fly.on("generate-name"):
        raise Failure("name argument or flag must be specified when not running interactively")
    organization = await chosen_organization(fly)
    await make_app(fly, name, organization, network=fly.flag("network"))
    if fly.json_wanted:
        fly.print_json(shapes.app((await fly.gql(APP_FULL, {"appName": name}))["app"]))
        return
    fly.print(f"New app created: {name}")


async def listing(fly: Fly) -> None:
    """`fly apps list`."""
    variables: dict[str, Json] = {}
    if slug := fly.org():
        variables["org"] = (await fly.gql(ORGANIZATION, {"slug": slug}))["organization"]["id"]
    nodes: list[Json] = []
    while True:
        page = (await fly.gql(APPS, variables or None))["apps"]
        nodes += page.get("nodes") or []
        if not (page.get("pageInfo") or {}).get("hasNextPage"):
            break
        variables["after"] = page["pageInfo"]["endCursor"]
    if fly.json_wanted:
        fly.print_json([shapes.app(n) for n in nodes])
        return
    if fly.on("quiet"):
        fly.out(table([[n["name"]] for n in nodes]) if nodes else "\n")
        return
    head = ["NAME", "OWNER", "STATUS", "LATEST DEPLOY"]
    rows = [
        [n["name"], (n.get("organization") or {}).get("slug", ""), n.get("status") or "", ""] for n in nodes
    ]
    fly.out(table([head, *rows]))


async def destroy(fly: Fly) -> None:
    """`fly apps destroy`."""
    if not fly.args:
        raise Failure("requires at least 1 arg(s), only received 0")
    for name in fly.args:
        if not fly.on("yes"):
            fly.eprint("Destroying an app is not reversible.")
            raise Failure("yes flag must be specified when not running interactively")
        app = (await fly.gql(APP_FULL, {"appName": name}))["app"]
        slug = (app.get("organization") or {}).get("slug", "")
        await fly.gql(ORGANIZATION, {"slug": slug})
        await fly.gql_named("ListOrganizationAddOns", ADD_ONS, {"orgSlug": slug, "addOnType": "tigris"})
        await fly.flaps("DELETE", f"/v1/apps/{name}")
        fly.print(f"Destroyed app {name}")


async def status(fly: Fly) -> None:
    """`fly status`."""
    name = fly.app()
    try:
        app = await app_compact(fly, name)
    except Failure as failure:
        raise failure.wrapped("failed to get app: ") from None
    machines = await fly.flaps("GET", f"/v1/apps/{name}/machines", what="failed to list VMs")
    release = (await fly.gql(CURRENT_RELEASE, {"appName": name}))["app"].get("currentRelease")
    kept = [
        m
        for m in machines or []
        if ((m.get("config") or {}).get("metadata") or {}).get("fly_platform_version") == "v2"
    ]
    kept.sort(key=lambda m: str(m.get("id")), reverse=True)
    organization = app.get("organization") or {}
    if fly.json_wanted:
        fly.print_json(
            {
                "AppURL": app.get("appUrl") or "",
                "Deployed": bool(app.get("deployed")),
                "Hostname": app.get("hostname") or "",
                "ID": app.get("id"),
                "Machines": [shapes.machine(m) for m in kept],
                "Name": app.get("name"),
                "Network": app.get("network") or "",
                "Organization": {
                    "ID": organization.get("id") or "",
                    "InternalNumericID": organization.get("internalNumericId") or "",
                    "Name": "",
                    "Slug": organization.get("slug") or "",
                    "RawSlug": "",
                    "PaidPlan": bool(organization.get("paidPlan")),
                },
                "PlatformVersion": app.get("platformVersion") or "",
                "Status": app.get("status") or "",
                "Version": int((release or {}).get("version") or 0),
            }
        )
        return
    fly.out(f"\x1b[1mApp\x1b[0m\n  Name     = {name}\n  Owner    = {organization.get('slug', '')}\n")
    fly.out(f"  Hostname = {app.get('hostname') or ''}\n\n\x1b[1mMachines\x1b[0m\n")
    head = ["PROCESS", "ID", "REGION", "STATE"]
    rows = [
        [m["config"]["metadata"].get("fly_process_group", ""), m["id"], m["region"], m["state"]] for m in kept
    ]
    fly.out(table([head, *rows]))


async def releases(fly: Fly) -> None:
    """`fly releases`: newest first, the failed and the running ones too."""
    name = fly.app()
    nodes = (await fly.gql(RELEASES, {"appName": name, "limit": 25}))["app"]["releases"]["nodes"]
    if fly.json_wanted:
        fly.print_json([shapes.release(n) for n in nodes])
        return
    rows = [
        [f"v{n['version']}", n["status"], n.get("description") or "", n.get("imageRef") or ""] for n in nodes
    ]
    fly.out(table([["VERSION", "STATUS", "DESCRIPTION", "DOCKER IMAGE"], *rows]))


async def ips_list(fly: Fly) -> None:
    """`fly ips list`."""
    name = fly.app()
    app = (await fly.gql(IPS, {"appName": name}))["app"]
    await fly.gql(EGRESS, {"appName": name})
    found = [
        {
            "ID": n.get("id") or "",
            "Address": n.get("address") or "",
            "Type": n.get("type") or "",
            "Region": n.get("region") or "",
            "CreatedAt": n.get("createdAt") or shapes.NO_TIME,
            "ServiceName": n.get("serviceName") or "",
            "Network": n.get("network"),
        }
        for n in (app.get("ipAddresses") or {}).get("nodes") or []
    ]
    if app.get("sharedIpAddress"):
        found.append(
            {
                "ID": "",
                "Address": app["sharedIpAddress"],
                "Type": "shared_v4",
                "Region": "",
                "CreatedAt": shapes.NO_TIME,
                "ServiceName": "",
                "Network": None,
            }
        )
    if fly.json_wanted:
        fly.print_json(found)
        return
    rows = [[str(f["Type"]), str(f["Address"]), str(f["Region"])] for f in found]
    fly.out(table([["VERSION", "IP", "REGION"], *rows]))


async def allocate_v4(fly: Fly) -> None:
    """`fly ips allocate-v4`."""
    if not fly.on("shared") and not fly.on("yes"):
        raise Failure("yes flag must be specified when not running interactively")
    kind = "shared_v4" if fly.on("shared") else "v4"
    given = {"appId": fly.app(), "type": kind, "region": fly.region()}
    made = (await fly.gql(ALLOCATE, {"input": given}))["allocateIpAddress"]
    if kind == "shared_v4":
        address = made["app"]["sharedIpAddress"]
        fly.out(table([["VERSION", "IP", "TYPE", "REGION"], ["v4", address, "shared", "global"]]))
    else:
        _print_address(fly, made["ipAddress"], "public (dedicated, $2/mo)")


async def allocate_v6(fly: Fly) -> None:
    """`fly ips allocate-v6`."""
    private = fly.on("private")
    given = {"appId": fly.app(), "type": "private_v6" if private else "v6", "region": fly.region()}
    made = (await fly.gql(ALLOCATE, {"input": given}))["allocateIpAddress"]
    _print_address(fly, made["ipAddress"], "private ingress" if private else "public ingress (dedicated)")


def _print_address(fly: Fly, ip: Json, kind: str) -> None:
    version = "v4" if ip.get("type") == "v4" else "v6"
    row = [version, ip["address"], kind, ip.get("region") or "global", "just now"]
    fly.out(table([["VERSION", "IP", "TYPE", "REGION", "CREATED AT"], row]))


async def _token(fly: Fly, organization: str, profile: str, params: Json, default_name: str) -> None:
    try:
        expiry = duration_text(seconds_of(fly.flag("expiry", "175200h")))
    except ValueError as error:
        raise Failure(str(error)) from None
    variables = {
        "name": fly.flag("name", default_name),
        "organizationId": organization,
        "profile": profile,
        "profileParams": params,
        "expiry": expiry,
    }
    data = await fly.gql_named("CreateLimitedAccessToken", LIMITED, variables)
    header = data["createLimitedAccessToken"]["limitedAccessToken"]["tokenHeader"]
    if fly.json_wanted:
        fly.print_json({"token": header})
    else:
        fly.print(header)


async def token_deploy(fly: Fly) -> None:
    """`fly tokens create deploy`: the token is a secret, on stdout."""
    app = await app_compact(fly, fly.app())
    await _token(fly, app["organization"]["id"], "deploy", {"app_id": app["id"]}, "flyctl deploy token")


async def token_org(fly: Fly) -> None:
    """`fly tokens create org`."""
    slug = fly.org()
    if not slug:
        raise Failure("org slug must be specified when not running interactively")
    organization = (await fly.gql(ORGANIZATION, {"slug": slug}))["organization"]
    await _token(fly, organization["id"], "deploy_organization", {}, "Org deploy token")
