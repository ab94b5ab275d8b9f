"""The stand-in's `fly postgres create`: an unmanaged cluster of one or more machines. Prints the password in clear."""

from __future__ import annotations

import secrets
import string

from flywizard.rehearsal.fly_account import chosen_organization, platform, sizes
from flywizard.rehearsal.fly_apps import ALLOCATE, make_app
from flywizard.rehearsal.fly_core import VERSION, Failure, Fly, Json

UNSUPPORTED = (
    "\nUnmanaged Fly Postgres is not supported by Fly.io Support and users are responsible for operations,"
    " management, and disaster recovery. If you'd like a managed, supported solution, try 'fly mpg' (Managed"
    " Postgres).\nPlease visit https://fly.io/docs/mpg/overview/ for more information about Managed Postgres.\n\n"
)
LATEST_TAG = "query($repository: String!, $snapshotId: ID) { latestImageTag(repository: $repository, snapshotId: $snapshotId) }"
ISSUE = "mutation($input: IssueCertificateInput!) { issueCertificate(input: $input) { certificate key } }"
CONSUL = "mutation($input: EnablePostgresConsulInput!) { enablePostgresConsul(input: $input) { consulUrl } }"


def _password() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(15))


async def create(fly: Fly) -> None:
    """`fly postgres create`."""
    fly.err(UNSUPPORTED)
    name = fly.flag("name")
    if not name:
        raise Failure("name argument or flag must be specified when not running interactively")
    organization = await chosen_organization(fly)
    where = await platform(fly)
    region = fly.region() or str(where.get("requestRegion") or "ams")
    if not any(fly.flag(f) for f in ("vm-size", "volume-size", "initial-cluster-size")):
        fly.out("For pricing information visit: https://fly.io/docs/about/pricing/")
        raise Failure("prompt: non interactive")
    fly.print(f"Creating postgres cluster in organization {organization['slug']}")
    fly.print("Creating app...")
    await make_app(fly, name, organization, role="postgres_cluster")
    image = fly.flag("image-ref")
    if not image:
        given = {"repository": "flyio/postgres-flex", "snapshotId": None}
        image = str((await fly.gql(LATEST_TAG, given))["latestImageTag"])
    address = await fly.gql(
        ALLOCATE,
        {
            "input": {
                "appId": name,
                "type": "private_v6",
                "region": region,
                "organizationId": organization["id"],
            }
        },
    )
    flycast = address["allocateIpAddress"]["ipAddress"]["address"]
    certificate = (
        await fly.gql(
            ISSUE,
            {
                "input": {
                    "organizationId": organization["id"],
                    "appNames": [name],
                    "principals": ["root", "fly", "postgres"],
                    "validHours": 876600,
                }
            },
        )
    )["issueCertificate"]
    consul = (await fly.gql(CONSUL, {"input": {"appName": name}}))["enablePostgresConsul"]
    password = fly.flag("password") or _password()
    fly.print(f"Setting secrets on app {name}...")
    values = {
        "FLY_CONSUL_URL": consul["consulUrl"],
        "OPERATOR_PASSWORD": password,
        "REPL_PASSWORD": _password(),
        "SSH_CERT": certificate["certificate"],
        "SSH_KEY": certificate["key"],
        "SU_PASSWORD": _password(),
    }
    written = await fly.flaps("POST", f"/v1/apps/{name}/secrets", {"values": values})
    await _machines(fly, name, region, image, int(written.get("version") or 0))
    fly.out(
        f"\nPostgres cluster {name} created\n  Username:    postgres\n  Password:    {password}\n"
        f"  Hostname:    {name}.internal\n  Flycast:     {flycast}\n  Proxy port:  5432\n  Postgres port:  5433\n"
        f"  Connection string: postgres://postgres:{password}@{name}.flycast:5432\n\n"
        "Save your credentials in a secure place -- you won't be able to see them again!\n\nConnect to postgres\n"
        f"Any app within the {organization['name']} organization can connect to this Postgres using the above"
        " connection string\n\nNow that you've set up Postgres, here's what you need to understand:"
        " https://fly.io/docs/postgres/getting-started/what-you-should-know/\n"
    )


def _service(port: int) -> Json:
    return {
        "protocol": "tcp",
        "internal_port": port,
        "autostart": False,
        "ports": [{"port": port, "handlers": ["pg_tls"]}],
        "concurrency": {"type": "connections", "hard_limit": 1000, "soft_limit": 1000},
        "force_instance_key": None,
    }


def _check(name: str) -> Json:
    return {"port": 5500, "type": "http", "interval": "15s", "timeout": "10s", "path": f"/flycheck/{name}"}


async def _machines(fly: Fly, name: str, region: str, image: str, version: int) -> None:
    count = int(fly.flag("initial-cluster-size", "1"))
    size = sizes().get(fly.flag("vm-size", "shared-cpu-1x"))
    if size is None:
        raise Failure(f"invalid machine preset requested, '{fly.flag('vm-size')}'")
    made: list[Json] = []
    for index in range(1, count + 1):
        fly.print(f"Provisioning {index} of {count} machines with image {image}")
        config = {
            "env": {"PRIMARY_REGION": region},
            "init": {},
            "guest": size,
            "metadata": {
                "fly-managed-postgres": "true",
                "fly_flyctl_version": VERSION,
                "fly_platform_version": "v2",
                "managed-by-fly-deploy": "true",
            },
            "services": [_service(5432), _service(5433)],
            "metrics": {"port": 9187, "path": "/metrics"},
            "checks": {name: _check(name) for name in ("pg", "role", "vm")},
            "image": image,
            "restart": {"policy": "always"},
        }
        volume = await fly.flaps(
            "POST",
            f"/v1/apps/{name}/volumes",
            {
                "name": "pg_data",
                "region": region,
                "size_gb": int(fly.flag("volume-size", "1")),
                "encrypted": True,
                "require_unique_zone": True,
                **dict.fromkeys(
                    ("unique_zone_app_wide", "snapshot_retention", "auto_backup_enabled", "fstype", "snapshot_id",
                     "source_volume_id")
                ),
                "compute": size,
                "compute_image": image,
            },
        )  # fmt: skip
        config["mounts"] = [{"path": "/data", "volume": volume["id"]}]
        machine = await fly.flaps(
            "POST",
            f"/v1/apps/{name}/machines",
            {"config": config, "region": region, "skip_secrets": False, "min_secrets_version": version},
            what="failed to launch VM",
        )
        made.append(machine)
        fly.print("Waiting for machine to start...")
        await fly.flaps("GET", f"/v1/apps/{name}/machines/{machine['id']}/wait?state=started&timeout=60")
        fly.print(f"Machine {machine['id']} is created")
    fly.out("==> Monitoring health checks\nNo health checks found\n")
