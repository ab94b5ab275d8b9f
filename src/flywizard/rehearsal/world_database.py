"""Owns clusters of Managed Postgres: how they become ready, and what they look like at a moment."""

from __future__ import annotations

import hashlib
import hmac

from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import JSON, Cluster, Organization, stamp

USER = "fly-user"
DATABASE = "fly-db"
PLANS = ("basic", "starter", "launch", "scale", "performance")
EXTENSIONS: dict[str, tuple[str, str]] = {
    "vector": ("Vector similarity search", "0.8.0"),
    "pg_trgm": ("Trigram matching", "1.6"),
    "uuid-ossp": ("Generate universally unique identifiers", "1.1"),
    "pgcrypto": ("Cryptographic functions", "1.3"),
    "hstore": ("Sets of key and value pairs", "1.8"),
    "citext": ("Case-insensitive character strings", "1.6"),
    "unaccent": ("Text search dictionary that removes accents", "1.1"),
    "btree_gin": ("Common datatypes in GIN", "1.3"),
    "btree_gist": ("Common datatypes in GiST", "1.7"),
    "fuzzystrmatch": ("Similarities and distance between strings", "1.2"),
    "pg_stat_statements": ("Planning and execution statistics", "1.11"),
}


def create(
    world: World, org: Organization, body: JSON, now: float, speed: float, *, failed: bool, slow: bool
) -> Cluster:
    """Make a cluster from the body of a create request; it becomes ready after its duration."""
    number = world.next("cluster")
    lasts = world.durations.cluster_slow if slow else world.durations.cluster
    cluster = Cluster(
        id=f"{0x3E500000 + number:016x}",
        name=str(body.get("name", "")),
        org=org.raw_slug,
        region=str(body.get("region", "")),
        plan=str(body.get("plan", "basic")),
        disk=int(body.get("storage_in_gb") or 10),
        version=str(body.get("pg_major_version") or "16"),
        created_at=now,
        ready_at=now + lasts / speed,
        numeric_id=700 + number,
        postgis=bool(body.get("postgis_enabled")),
        failed=failed,
        databases={DATABASE: {"extensions": {}}},
        users={USER: "schema_admin"},
    )
    world.clusters[cluster.id] = cluster
    return cluster


def status(cluster: Cluster, now: float) -> str:
    """Return creating, ready or error."""
    if now < cluster.ready_at:
        return "creating"
    return "error" if cluster.failed else "ready"


def password(world: World, cluster: str, user: str) -> str:
    """Return a user's password: the registered database's, else one derived from the World's key.

    It is never kept on disk.
    """
    real = database(world, cluster)
    if real.get("password") and user == real.get("user", USER):
        return str(real["password"])
    key = bytes.fromhex(world.key)
    return hmac.new(key, f"{cluster}:{user}".encode(), hashlib.sha256).hexdigest()[:24]


def database(world: World, cluster: str) -> JSON:
    """Return the real database that stands behind a cluster, or {}."""
    return world.databases.get(cluster) or world.databases.get("*") or {}


def endpoint(world: World, cluster: Cluster) -> JSON:
    """Return {"host", "port", "user", "password", "database"} for the tunnel; host is "" without a database."""
    real = database(world, cluster.id)
    user = str(real.get("user") or USER)
    return {
        "host": str(real.get("host") or ""),
        "port": int(real.get("port") or 0),
        "user": user,
        "password": password(world, cluster.id, user),
        "database": str(real.get("database") or DATABASE),
    }


def credentials(world: World, cluster: Cluster, now: float) -> JSON:
    """Return the ``credentials`` object; empty strings until the cluster is ready."""
    state = status(cluster, now)
    if state != "ready":
        return {"status": state, "user": "", "password": "", "dbname": "", "pgbouncer_uri": ""}
    real = endpoint(world, cluster)
    user, secret, name = real["user"], real["password"], real["database"]
    uri = f"postgresql://{user}:{secret}@pgbouncer.{cluster.id}.flympg.net/{name}"
    return {"status": "ready", "user": user, "password": secret, "dbname": name, "pgbouncer_uri": uri}


def view(world: World, cluster: Cluster, now: float) -> JSON:
    """Return the ``data`` object of a look at one cluster."""
    org = world.organization(cluster.org)
    return {
        "id": cluster.id,
        "name": cluster.name,
        "status": status(cluster, now),
        "engine": "postgres",
        "plan": cluster.plan,
        "region": cluster.region,
        "organization": {
            "id": org.id if org else "",
            "slug": cluster.org,
            "rawSlug": cluster.org,
            "name": org.name if org else "",
        },
        "mpgd_cluster_id": f"mpgd-{cluster.id}",
        "disk": cluster.disk,
        "replicas": 1,
        "ip_assignments": {"direct": "fdaa:0:1::5" if status(cluster, now) == "ready" else ""},
        "attached_apps": [
            {"name": name, "id": world.apps[name].numeric_id}
            for name in cluster.attachments
            if name in world.apps
        ],
    }


def created_view(world: World, cluster: Cluster, now: float) -> JSON:
    """Return the ``data`` object of the answer to a create request."""
    full = view(world, cluster, now)
    keep = ("id", "name", "status", "plan", "region", "organization", "replicas", "disk", "ip_assignments")
    return {k: full[k] for k in keep} | {"environment": None, "postgis_enabled": cluster.postgis}


def extensions(cluster: Cluster, name: str, real: dict[str, JSON] | None = None) -> list[JSON]:
    """Return the extension list of one database; ``real`` is what the database behind it offers and has."""
    installed = cluster.databases[name]["extensions"]
    listed: list[JSON] = []
    for extension in sorted({*EXTENSIONS, *(real or {})}):
        description, version = EXTENSIONS.get(extension, ("", "1.0"))
        found = (real or {}).get(extension)
        if real is not None and found is None:
            continue
        listed.append(
            {
                "name": extension,
                "description": description,
                "docs_url": f"https://example.org/{extension}",
                "default_version": found["default_version"] if found else version,
                "is_system": False,
                "installed": found["installed"] if found else installed.get(extension),
            }
        )
    return [
        *listed,
        {
            "name": "plpgsql",
            "description": "PL/pgSQL procedural language",
            "docs_url": "https://example.org/plpgsql",
            "default_version": "1.0",
            "is_system": True,
            "installed": {"version": "1.0", "schema": "pg_catalog"},
        },
    ]


def stand_behind(world: World, cluster: Cluster, real: JSON) -> None:
    """Put a real database behind a cluster: its role and database take the World's names' places."""
    world.databases[cluster.id] = real
    if real["database"] not in cluster.databases:
        cluster.databases[real["database"]] = cluster.databases.pop(DATABASE, {"extensions": {}})
    if real["user"] not in cluster.users:
        cluster.users[real["user"]] = cluster.users.pop(USER, "schema_admin")


def attachment_view(world: World, cluster: Cluster, app: str, now: float) -> JSON:
    """Return the answer to an attachment request."""
    return {
        "id": cluster.attachments.index(app) + 1,
        "app_id": world.apps[app].numeric_id,
        "managed_service_id": cluster.numeric_id,
        "attached_at": stamp(now),
    }
