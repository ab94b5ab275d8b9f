"""The stand-in's `fly certs`: add, check, list."""

from __future__ import annotations

from flywizard.rehearsal.fly_core import Failure, Fly, Json, table

DETAIL = (
    "hostname",
    "configured",
    "acme_requested",
    "status",
    "dns_provider",
    "certificates",
    "validation",
    "dns_requirements",
    "dns_records",
)
LISTED = (
    "hostname",
    "status",
    "dns_provider",
    "acme_dns_configured",
    "acme_alpn_configured",
    "acme_http_configured",
    "ownership_txt_configured",
    "configured",
    "acme_requested",
    "has_custom_certificate",
    "has_fly_certificate",
    "created_at",
    "updated_at",
)


def _host(fly: Fly) -> str:
    if not fly.args:
        raise Failure("hostname must be specified when not running interactively")
    return fly.args[0]


def _detail(answer: Json) -> Json:
    return {k: answer[k] for k in DETAIL if k in answer}


async def add(fly: Fly) -> None:
    """`fly certs add`."""
    host, app = _host(fly), fly.app()
    answer = await fly.flaps(
        "POST",
        f"/v1/apps/{app}/certificates/acme",
        {"hostname": host},
        what="failed to create ACME certificate",
    )
    if fly.json_wanted:
        fly.print_json(_detail(answer))
        return
    wanted = answer.get("dns_requirements") or {}
    fly.out(f"✓ Certificate created for {host}\n\nRecommended DNS setup:\n")
    for kind, addresses in (("A   ", wanted.get("a") or []), ("AAAA", wanted.get("aaaa") or [])):
        for address in addresses:
            fly.print(f"  {kind} {host} → {address}")
    fly.out(
        f"\nRun fly certs check {host} to check validation progress.\n"
        f"Run fly certs setup {host} for alternative DNS setups.\n"
    )


async def check(fly: Fly) -> None:
    """`fly certs check`."""
    host, app = _host(fly), fly.app()
    answer = await fly.flaps(
        "POST", f"/v1/apps/{app}/certificates/{host}/check", what="failed to check certificate"
    )
    if fly.json_wanted:
        fly.print_json(_detail(answer))
    else:
        fly.print(f"Status: {answer.get('status')}")


async def listing(fly: Fly) -> None:
    """`fly certs list`."""
    answer = await fly.flaps(
        "GET", f"/v1/apps/{fly.app()}/certificates?limit=50", what="failed to list certificates"
    )
    found = answer.get("certificates") or []
    if fly.json_wanted:
        fly.print_json([{k: c[k] for k in LISTED if k in c} for c in found])
        return
    fly.out(table([["HOST NAME", "STATUS"], *([c["hostname"], c["status"]] for c in found)]))
