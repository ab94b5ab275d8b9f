"""The stand-in's account commands: version, who, token, organisations, regions, sizes, doctor."""

from __future__ import annotations

from flywizard.rehearsal.fly_core import VERSION, Failure, Fly, Json, go_json

VIEWER = "query { viewer { ... on User { id email enablePaidHobby } ... on Macaroon { email } } }"
ORGANIZATIONS = (
    "query($admin: Boolean!) { organizations(admin: $admin) { nodes { id slug rawSlug name type paidPlan"
    " billable viewerRole internalNumericId } } }"
)
PLATFORM = (
    "query { platform { requestRegion regions { name code latitude longitude gatewayAvailable"
    " requiresPaidPlan deprecated } } }"
)


async def version(fly: Fly) -> None:
    """`fly version`: no login, no request."""
    if fly.json_wanted:
        fly.print(
            go_json(
                {
                    "Name": "flyctl",
                    "Version": VERSION,
                    "Commit": "<none>",
                    "BranchName": "",
                    "BuildDate": "2026-08-20T00:00:00Z",
                    "OS": "linux",
                    "Architecture": "amd64",
                    "Environment": "production",
                },
                None,
            )
        )
    else:
        fly.print(f"flyctl v{VERSION} linux/amd64 Commit: <none> BuildDate: 2026-08-20T00:00:00Z")


async def viewer_email(fly: Fly) -> str:
    """The e-mail address behind the token.

    Raises:
        Failure: the token is refused or the platform is out of reach.
    """
    try:
        data = await fly.gql(VIEWER)
    except Failure as failure:
        raise failure.wrapped("failed retrieving current user: ") from None
    return str((data.get("viewer") or {}).get("email", ""))


async def whoami(fly: Fly) -> None:
    """`fly auth whoami`."""
    email = await viewer_email(fly)
    if fly.json_wanted:
        fly.print_json({"email": email})
    else:
        fly.print(email)


async def token(fly: Fly) -> None:
    """`fly auth token`: the token without its scheme."""
    if fly.json_wanted:
        fly.print_json({"token": fly.tokens.joined()})
    else:
        fly.print(fly.tokens.joined())


async def doctor(fly: Fly) -> None:
    """`fly doctor`: as good as useless without the agent, and exits 0."""
    report = {"agent": "couldn't ping agent: agent not running"}
    try:
        await fly.gql(VIEWER)
        report["auth"] = "ok"
    except Failure as failure:
        report["auth"] = failure.text
    if fly.json_wanted:
        fly.print_json(report)
    else:
        fly.print(f"Testing authentication token... {'PASSED' if report['auth'] == 'ok' else 'FAILED'}")
        fly.print("Testing flyctl agent... FAILED")


async def organizations(fly: Fly) -> list[Json]:
    """Every organisation the token can see."""
    data = await fly.gql(ORGANIZATIONS, {"admin": False})
    return list((data.get("organizations") or {}).get("nodes") or [])


async def chosen_organization(fly: Fly) -> Json:
    """The organisation of `-o`.

    Raises:
        Failure: none is named, or the token does not see it.
    """
    slug = fly.org()
    if not slug:
        found = await organizations(fly)
        if len(found) == 1 and found[0].get("type") == "PERSONAL":
            fly.eprint(f"automatically selected personal organization: {found[0].get('name')}")
            return found[0]
        raise Failure("org slug must be specified when not running interactively")
    for organization in await organizations(fly):
        if slug in (organization.get("slug"), organization.get("rawSlug")):
            return organization
    raise Failure(f"organization {slug} not found")


async def orgs_list(fly: Fly) -> None:
    """`fly orgs list`: with `--json` a map of slug and name."""
    found = await organizations(fly)
    if fly.json_wanted:
        fly.print_json({o["slug"]: o["name"] for o in sorted(found, key=lambda o: str(o["slug"]))})
        return
    fly.print("Name                 Slug                 Type")
    fly.print("----                 ----                 ----")
    for o in found:
        fly.print(f"{o['name']:<20} {o['slug']:<20} {o['type']}")


async def platform_regions(fly: Fly) -> tuple[list[Json], str]:
    """Fly's regions and the nearest one, by the Machines API.

    Raises:
        Failure: no answer, or not a good one.
    """
    answer = await fly.flaps(
        "GET", "/v1/platform/regions", what="failed retrieving regions: failed to get regions"
    )
    return list(answer.get("Regions") or []), str(answer.get("Nearest", ""))


REGION_KEYS = (
    "code",
    "name",
    "latitude",
    "longitude",
    "gateway_available",
    "requires_paid_plan",
    "deprecated",
    "capacity",
    "geo_region",
    "mpg_available",
)


async def regions(fly: Fly) -> None:
    """`fly platform regions`: sorted by name, without those given up."""
    found, _ = await platform_regions(fly)
    kept = sorted((r for r in found if not r.get("deprecated")), key=lambda r: str(r.get("name")))
    if fly.json_wanted:
        fly.print_json([{k: r[k] for k in REGION_KEYS if k in r} for r in kept])
    else:
        for r in kept:
            fly.print(f" {r.get('name')} │ {r.get('code')} ")


def sizes() -> dict[str, dict[str, object]]:
    """The machine presets that flyctl lists: 256 MB a shared CPU, 2048 MB a performance CPU."""
    found: dict[str, dict[str, object]] = {}
    for kind, counts, memory in (
        ("performance", (1, 2, 4, 6, 8, 10, 12, 14, 16), 2048),
        ("shared", (1, 2, 4, 6, 8), 256),
    ):
        for count in counts:
            name = f"{'shared-cpu' if kind == 'shared' else kind}-{count}x"
            found[name] = {"cpu_kind": kind, "cpus": count, "memory_mb": count * memory}
    return dict(sorted(found.items()))


async def vm_sizes(fly: Fly) -> None:
    """`fly platform vm-sizes`: no request."""
    if fly.json_wanted:
        fly.print_json(sizes())
    else:
        for name, size in sizes().items():
            fly.print(f" {name} │ {size['cpus']} │ {size['memory_mb']} MB ")


async def platform(fly: Fly) -> Json:
    """The GraphQL field `platform`: `requestRegion` and `regions`."""
    return (await fly.gql(PLATFORM)).get("platform") or {}
