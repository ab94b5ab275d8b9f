"""The stand-in's `fly mpg`: Managed Postgres clusters, their credentials and attachments.

As in the real command, `create`, `status` and `attach` print the password in clear, a typo in `--plan`
means the smallest plan, and `attach` does not ask whether the cluster is ready.
"""

from __future__ import annotations

import asyncio

from flywizard.rehearsal import fly_shapes as shapes
from flywizard.rehearsal.fly_account import chosen_organization, platform
from flywizard.rehearsal.fly_apps import ORGANIZATION, app_basic
from flywizard.rehearsal.fly_core import Answer, Canceled, Cut, Failure, Fly, Json
from flywizard.rehearsal.fly_secrets import secrets_path, write

OLD_TOKENS = "MPG commands require updated tokens but found older-style tokens."
UPGRADE = "Please upgrade your authentication by running:\n  flyctl auth logout\n  flyctl auth login"
GET_ORGANIZATION = (
    "query GetOrganization ($slug: String!) { organization(slug: $slug) { id slug rawSlug paidPlan addOnSsoLink"
    " provisionsBetaExtensions name billable billingStatus } }"
)
# name, CPU, memory, dollars a month; `Performance` is spelled with a capital, so it is never found
PLANS = {
    "basic": ("Basic", "Shared x 2", "1 GB", 38),
    "starter": ("Starter", "Shared x 2", "2 GB", 72),
    "launch": ("Launch", "Performance x 2", "8 GB", 282),
    "scale": ("Scale", "Performance x 4", "33 GB", 962),
    "Performance": ("Performance", "Performance x 8", "64 GB", 1922),
}
POLL = 5.0


def need_macaroon(fly: Fly) -> None:
    """Refuses older-style tokens, before any request.

    Raises:
        Failure: there is no macaroon among the tokens.
    """
    if not fly.tokens.macaroons:
        raise Failure(f"{OLD_TOKENS}\n\n{UPGRADE}\n")


async def raw_slug(fly: Fly, slug: str, known: str) -> str:
    """The slug that the web API's paths want."""
    if slug != "personal":
        return known or slug
    data = await fly.gql_named("GetOrganization", GET_ORGANIZATION, {"slug": slug})
    return str(data["organization"]["rawSlug"])


async def web(fly: Fly, method: str, path: str, body: Json = None) -> Answer:
    """One request of the web API, its answer whatever it is.

    Raises:
        Failure: there is no answer.
    """
    try:
        return await fly.send("uiex", method, "/api/v1" + path, body)
    except Cut as cut:
        raise Failure(fly.cut_text("uiex", method, "/api/v1" + path, cut)) from None


async def get_cluster(fly: Fly, cluster_id: str) -> Json:
    """The cluster and its credentials; version 2 is tried first, then version 1.

    Raises:
        Failure: it is not there, or the platform failed.
    """
    for kind in ("postgresv2", "postgres"):
        answer = await web(fly, "GET", f"/{kind}/{cluster_id}")
        if answer.status == 200:
            body = answer.json() or {}
            if kind == "postgres" or (body.get("data") or {}).get("mpgd_cluster_id"):
                return body
        elif answer.status not in (403, 404):
            raise Failure("Something went wrong")
    raise Failure(f'managed postgres cluster "{cluster_id}" not found')


def _argument(fly: Fly, what: str = "cluster ID") -> str:
    if not fly.args:
        raise Failure(f"{what} must be specified when not running interactively")
    return fly.args[0]


async def create(fly: Fly) -> None:
    """`fly mpg create`: makes a cluster and polls it, without a time limit, until it is ready."""
    need_macaroon(fly)
    if fly.on("v2"):
        fly.eprint("--v2 flag is no longer required. All clusters are created as v2.")
    name = fly.flag("name")
    if not name:
        raise Failure("name argument or flag must be specified when not running interactively")
    organization = await chosen_organization(fly)
    slug = await raw_slug(fly, str(organization["slug"]), str(organization.get("rawSlug") or ""))
    known = {str(r["code"]) for r in (await platform(fly)).get("regions") or []}
    offered = (await web(fly, "GET", f"/organizations/{slug}/postgresv2/regions")).json() or {}
    regions = [str(r["code"]) for r in offered.get("data") or [] if r.get("available") and r["code"] in known]
    region = fly.region()
    if not region:
        raise Failure("region code must be specified when not running interactively")
    if region not in regions:
        raise Failure(
            f"region {region} is not available for Managed Postgres. Available regions: [{' '.join(regions)}]"
        )
    plan = fly.flag("plan", "basic").lower()
    if plan not in PLANS:
        plan = "basic"
    if fly.flag("pg-major-version", "16") not in ("16", "17"):
        raise Failure("invalid Postgres version. Supported versions: 16, 17")
    body = {
        "name": name,
        "region": region,
        "org_slug": slug,
        "plan": plan,
        "pg_major_version": fly.flag("pg-major-version", "16"),
        "storage_in_gb": int(fly.flag("volume-size", "10")),
        "postgis_enabled": fly.on("enable-postgis-support"),
    }
    try:
        answer = await web(fly, "POST", f"/organizations/{slug}/postgresv2", body)
        made = _created(answer)
    except Failure as failure:
        raise failure.wrapped("failed creating managed postgres cluster: ") from None
    await _follow(fly, made, slug, name, plan)


def _created(answer: Answer) -> Json:
    """The new cluster out of the platform's answer.

    Raises:
        Failure: it was not made, as far as one can tell.
    """
    body = answer.json() or {}
    if answer.status == 201:
        return body["data"]
    if answer.status == 403:
        raise Failure(str((body.get("errors") or {}).get("detail") or body.get("error") or ""))
    if answer.status == 500:
        raise Failure(f"server error: {answer.text()}")
    raise Failure(f"failed to create cluster (status {answer.status}): {answer.text()}")


async def _follow(fly: Fly, made: Json, slug: str, name: str, plan: str) -> None:
    title, cpu, memory, price = PLANS[plan]
    cluster_id = made["id"]
    fly.out(
        f"Selected Plan: {title}\n  CPU: {cpu}\n  Memory: {memory}\n  Price: ${price} per month\n\n"
        f"Waiting for cluster {name} ({cluster_id}) to be ready...\n"
        f"You can view the cluster in the UI at: https://fly.io/dashboard/{slug}/managed_postgres/{cluster_id}\n"
        "You can cancel this wait with Ctrl+C - the cluster will continue provisioning in the background.\n"
        f"Once ready, you can connect to the database with: fly mpg connect {cluster_id}\n\n"
    )
    while True:
        try:
            cluster = await get_cluster(fly, cluster_id)
        except Failure as failure:
            raise failure.wrapped("failed checking cluster status: ") from None
        state = cluster["data"].get("status")
        if state == "ready":
            break
        if state == "error":
            raise Failure("cluster creation failed")
        await _deaf_sleep(fly, POLL)
    data = cluster["data"]
    credentials = (await get_cluster(fly, cluster_id)).get("credentials") or {}
    fly.out(
        f"\nManaged Postgres cluster created successfully!\n  ID: {cluster_id}\n  Name: {data['name']}\n"
        f"  Organization: {slug}\n  Region: {data['region']}\n  Plan: {data['plan']}\n  Disk: {made.get('disk')}GB\n"
        f"  PostGIS: {str(bool(made.get('postgis_enabled'))).lower()}\n"
        f"  Connection string: {credentials.get('pgbouncer_uri', '')}\n"
    )


async def _deaf_sleep(fly: Fly, seconds: float) -> None:
    """Sleeps through a signal and only then notices it, as the real command does between polls.

    Raises:
        Canceled: a signal came meanwhile.
    """
    begun = fly.transport.now()
    try:
        await fly.transport.sleep(seconds)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not fly.transport.interrupted or task is None:
            raise
        task.uncancel()
        await fly.transport.sleep(max(0.0, seconds - (fly.transport.now() - begun)))
        raise Canceled from None


async def listing(fly: Fly) -> None:
    """`fly mpg list`: plain text, even with `--json`, when there is nothing."""
    need_macaroon(fly)
    slug = fly.org()
    if not slug:
        raise Failure("org slug must be specified when not running interactively")
    organization = (await fly.gql(ORGANIZATION, {"slug": slug}))["organization"]
    data = await fly.gql_named("GetOrganization", GET_ORGANIZATION, {"slug": slug})
    raw = data["organization"]["rawSlug"]
    answer = await fly.uiex("GET", f"/organizations/{raw}/postgres", what="list clusters")
    clusters = answer.get("data") or []
    if not clusters:
        fly.print(f"No managed postgres clusters found in organization {organization['slug']}")
        return
    if fly.json_wanted:
        fly.print_json([shapes.listed_cluster(c) for c in clusters])
        return
    from flywizard.rehearsal.fly_core import table

    rows = [[c["id"], c["name"], raw, c["region"], c["status"], c["plan"]] for c in clusters]
    fly.out(table([["ID", "NAME", "ORG", "REGION", "STATUS", "PLAN"], *rows]))


async def status(fly: Fly) -> None:
    """`fly mpg status`: with `--json`, the password is in it."""
    need_macaroon(fly)
    cluster_id = _argument(fly)
    await get_cluster(fly, cluster_id)
    cluster = await get_cluster(fly, cluster_id)
    data = cluster["data"]
    if fly.json_wanted:
        credentials = cluster.get("credentials") or {}
        keys = ("status", "user", "password", "dbname", "pgbouncer_uri")
        fly.print_json(
            {"data": shapes.cluster(data), "credentials": {k: credentials.get(k, "") for k in keys}}
        )
        return
    rows = [
        ("ID", data["id"]),
        ("Name", data["name"]),
        ("Organization", data["organization"]["slug"]),
        ("Region", data["region"]),
        ("Status", data["status"]),
        ("Allocated Disk (GB)", str(data["disk"])),
        ("Replicas", str(data["replicas"])),
        ("Direct IP", (data.get("ip_assignments") or {}).get("direct", "")),
    ]
    from flywizard.rehearsal.fly_core import table

    fly.out("\x1b[1mCluster Status\x1b[0m\n" + table(rows))


async def attach(fly: Fly) -> None:
    """`fly mpg attach`: stages the connection string, whether the cluster is ready or not."""
    need_macaroon(fly)
    cluster_id, name = _argument(fly), fly.app()
    variable = fly.flag("variable-name", "DATABASE_URL")
    app = await app_basic(fly, name)
    await get_cluster(fly, cluster_id)
    cluster = await get_cluster(fly, cluster_id)
    owner = (cluster["data"].get("organization") or {}).get("slug")
    organization = app["organization"]
    if owner not in (organization.get("rawSlug"), organization.get("slug")):
        raise Failure(
            f"app {name} is in organization {organization.get('rawSlug')}, but cluster {cluster_id} is in"
            f" organization {owner}. They must be in the same organization to attach"
        )
    credentials = cluster.get("credentials") or {}
    user, password = credentials.get("user", ""), credentials.get("password", "")
    scheme, _, rest = str(credentials.get("pgbouncer_uri") or "").partition("://")
    host = rest.rpartition("@")[2].partition("/")[0]
    wanted = fly.flag("username")
    if wanted:
        answer = await web(fly, "GET", f"/postgresv2/{cluster_id}/users/{wanted}/credentials")
        if answer.status != 200:
            raise Failure(f"failed retrieving credentials for user {wanted}: user not found")
        found = (answer.json() or {}).get("data") or {}
        user, password = found.get("username", ""), found.get("password", "")
    secrets = await fly.flaps(
        "GET", secrets_path(fly, name), what="failed retrieving secrets for app " + name
    )
    if any(s["name"] == variable for s in secrets.get("secrets") or []):
        raise Failure(
            f"app {name} already has {variable} set. Use 'fly secrets unset {variable}' to remove it first"
        )
    database = fly.flag("database") or credentials.get("dbname", "")
    value = f"{scheme + ':' if scheme else ''}//{user}:{password}@{host}/{database}"
    await write(fly, name, {variable: value})
    answer = await web(fly, "POST", f"/postgresv2/{cluster_id}/attachments", {"app_name": name})
    if answer.status not in (200, 201):
        fly.eprint(
            "Warning: failed to create attachment record: failed to create attachment"
            f" (status {answer.status}): {answer.text()}"
        )
    fly.out(f"\nPostgres cluster {cluster_id} is being attached to {name}\n")
    fly.out(f"The following secret was added to {name}:\n  {variable}={value}\n")


async def detach(fly: Fly) -> None:
    """`fly mpg detach`: drops the record, not the secret."""
    need_macaroon(fly)
    cluster_id, name = _argument(fly), fly.app()
    await app_basic(fly, name)
    await get_cluster(fly, cluster_id)
    await fly.uiex(
        "DELETE", f"/postgresv2/{cluster_id}/attachments/{name}", what="delete attachment", ok=(200, 202, 204)
    )
    fly.out(
        f"\nPostgres cluster {cluster_id} has been detached from {name}\n"
        "Note: This only removes the attachment record. Any secrets (like DATABASE_URL) are still set on the app.\n"
        f"Use 'fly secrets unset DATABASE_URL -a {name}' to remove the connection string.\n"
    )


async def destroy(fly: Fly) -> None:
    """`fly mpg destroy`."""
    need_macaroon(fly)
    cluster_id = _argument(fly)
    cluster = await get_cluster(fly, cluster_id)
    if not fly.on("yes"):
        fly.eprint("Destroying a managed Postgres cluster is not reversible.")
        raise Failure("yes flag must be specified when not running interactively")
    slug = (cluster["data"].get("organization") or {}).get("slug", "")
    await fly.uiex(
        "DELETE",
        f"/organizations/{slug}/postgresv2/{cluster_id}",
        what=f"destroy cluster {cluster_id}",
        ok=(200, 202, 204),
    )
    fly.print(f"Managed Postgres cluster {cluster_id} was destroyed")
