"""Owns what hangs on an app in the Machines API: volumes, addresses, certificates (``/v1/apps/APP/…``)."""

from __future__ import annotations

from typing import Any

from flywizard.rehearsal.api_apps import app_of, cname, require_card
from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.world_records import JSON, App, Volume, hexdigits, stamp


def volume_view(volume: Volume) -> JSON:
    """Return the volume object."""
    return {
        "id": volume.id,
        "name": volume.name,
        "state": "destroyed" if volume.destroyed else "created",
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": "a1b2",
        "encrypted": volume.encrypted,
        "attached_machine_id": volume.attached_machine_id,
        "created_at": stamp(volume.created_at),
        "host_dedication_id": "",
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled,
        "host_status": "ok",
        "fstype": "ext4",
        "blocks": 0,
        "block_size": 4096,
        "blocks_free": 0,
        "blocks_avail": 0,
    }


def _volume(call: Call) -> Volume:
    app = app_of(call)
    volume = call.api.world.volumes.get(call.parts["volume"])
    if volume is None or volume.app != app.name or volume.destroyed:
        raise RefusalError(404, "volume not found", "not_found")
    return volume


def _list_volumes(call: Call) -> Response:
    app = app_of(call)
    found = [v for v in call.api.world.volumes.values() if v.app == app.name and not v.destroyed]
    return answer([volume_view(v) for v in found])


def _create_volume(call: Call) -> Response:
    app, body, world = app_of(call), call.request.json(), call.api.world
    require_card(call)
    region = str(body.get("region") or world.nearest)
    if world.region(region) is None:
        raise RefusalError(422, f"region {region} not found")
    volume = Volume(
        id="vol_" + world.new_id("volume", 16),
        name=str(body.get("name", "")),
        app=app.name,
        region=region,
        size_gb=int(body.get("size_gb") or 1),
        created_at=call.now,
        encrypted=bool(body.get("encrypted", True)),
        snapshot_retention=int(body.get("snapshot_retention") or 5),
    )
    world.volumes[volume.id] = volume
    return answer(volume_view(volume))


def _get_volume(call: Call) -> Response:
    return answer(volume_view(_volume(call)))


def _change_volume(call: Call) -> Response:
    volume, body = _volume(call), call.request.json()
    if "size_gb" in body:
        volume.size_gb = int(body["size_gb"])
    if body.get("snapshot_retention"):
        volume.snapshot_retention = int(body["snapshot_retention"])
    if call.request.path.endswith("/extend"):
        return answer({"needs_restart": False, "volume": volume_view(volume)})
    return answer(volume_view(volume))


def _delete_volume(call: Call) -> Response:
    volume = _volume(call)
    if volume.attached_machine_id:
        raise RefusalError(412, "failed_precondition: volume is attached to a machine")
    volume.destroyed = True
    return answer(volume_view(volume))


def assign_address(call: Call, app: App, kind: str, region: str = "", service: str = "") -> JSON:
    """Give an app an address of the kind v6, shared_v4, v4 or private_v6; a shared one only once."""
    shared = kind == "shared_v4"
    if shared:
        for address in app.addresses:
            if address["shared"]:
                return address
    number = call.api.world.next("address")
    match kind:
        case "v6":
            ip = f"2a09:8280:1::{number:x}:0"
        case "private_v6":
            ip = f"fdaa:0:1:0:1::{number:x}"
        case "v4":
            ip = f"149.248.{number // 250}.{number % 250 + 1}"
        case "shared_v4":
            ip = f"66.241.124.{number % 250 + 1}"
        case _:
            raise RefusalError(422, f"unknown address type {kind}")
    address = {
        "id": "ip_" + hexdigits(ip, 12),
        "ip": ip,
        "type": kind,
        "region": region or "global",
        "service_name": service,
        "shared": shared,
        "created_at": call.now,
    }
    app.addresses.append(address)
    return address


def address_view(address: JSON) -> JSON:
    """Return the address object of the Machines API."""
    view = {key: address[key] for key in ("ip", "region", "service_name", "shared")}
    return view | {"created_at": stamp(address["created_at"])}


def _list_addresses(call: Call) -> Response:
    return answer({"ips": [address_view(a) for a in app_of(call).addresses]})


def _assign_address(call: Call) -> Response:
    app, body = app_of(call), call.request.json()
    kind, region = str(body.get("type", "")), str(body.get("region") or "")
    return answer(address_view(assign_address(call, app, kind, region, str(body.get("service_name") or ""))))


def _release_address(call: Call) -> Response:
    app = app_of(call)
    kept = [a for a in app.addresses if a["ip"] != call.parts["ip"]]
    if len(kept) == len(app.addresses):
        raise RefusalError(404, "ip assignment not found", "not_found")
    app.addresses = kept
    return answer({})


def _certificate_view(app: App, host: str, *, records: bool = False) -> JSON:
    flags = ("acme_dns", "acme_alpn", "acme_http", "ownership_txt")
    kinds = ("dns", "alpn", "http", "ownership_txt")
    view: dict[str, Any] = {
        "hostname": host,
        "configured": False,
        "status": "Awaiting configuration",
        "acme_requested": True,
        "certificates": [],
        **{f"{flag}_configured": False for flag in flags},
        "validation": {f"{kind}_configured": False for kind in kinds},
        "validation_errors": [],
        "dns_provider": "unknown",
        "rate_limited_until": None,
        "dns_requirements": {
            "a": [a["ip"] for a in app.addresses if a["type"] in ("v4", "shared_v4")],
            "aaaa": [a["ip"] for a in app.addresses if a["type"] == "v6"],
            "cname": cname(app),
            "acme_challenge": {
                "name": f"_acme-challenge.{host}",
                "target": f"{host}.{hexdigits(host, 6)}.flydns.net",
            },
            "ownership": {
                "name": f"_fly-ownership.{host}",
                "app_value": f"app-{hexdigits(app.name, 6)}",
                "org_value": f"org-{hexdigits(app.org, 6)}",
            },
        },
    }
    if records:
        empty: dict[str, Any] = {key: [] for key in ("a", "aaaa", "cname", "resolved_addresses")}
        view["dns_records"] = empty | {"soa": "", "acme_challenge_cname": "", "ownership_txt": ""}
    return view


def _list_certificates(call: Call) -> Response:
    app = app_of(call)
    shown = [
        {
            "hostname": host,
            "created_at": stamp(entry["created_at"]),
            "updated_at": stamp(entry["created_at"]),
            "source": "fly",
            "status": "Awaiting configuration",
            "configured": False,
            "acme_requested": True,
            "dns_provider": "unknown",
            "has_fly_certificate": False,
            "has_custom_certificate": False,
            **{
                f"{flag}_configured": False
                for flag in ("acme_dns", "acme_alpn", "acme_http", "ownership_txt")
            },
        }
        for host, entry in app.certificates.items()
    ]
    return answer({"certificates": shown, "next_cursor": "", "total_count": len(shown)})


def _add_certificate(call: Call) -> Response:
    app, host = app_of(call), str(call.request.json().get("hostname", ""))
    if not host:
        raise RefusalError(422, "Hostname can't be blank")
    if host in app.certificates:
        raise RefusalError(
            422, "Hostname already exists on app", body={"error": "Hostname already exists on app"}
        )
    app.certificates[host] = {"created_at": call.now}
    return answer(_certificate_view(app, host), 201)


def _certificate(call: Call) -> Response:
    app, host = app_of(call), call.parts["host"]
    if host not in app.certificates:
        raise RefusalError(404, "certificate not found", body={"error": "certificate not found"})
    if call.request.method == "DELETE":
        del app.certificates[host]
        return answer({})
    return answer(_certificate_view(app, host, records=call.request.path.endswith("/check")))


_APP = "/v1/apps/{app}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _APP + "/volumes", "volume-list", _list_volumes),
    Route("POST", _APP + "/volumes", "volume-create", _create_volume, mutating=True),
    Route("GET", _APP + "/volumes/{volume}", "volume-get", _get_volume),
    Route("PUT", _APP + "/volumes/{volume}", "volume-get", _change_volume, mutating=True),
    Route("PUT", _APP + "/volumes/{volume}/extend", "volume-get", _change_volume, mutating=True),
    Route("DELETE", _APP + "/volumes/{volume}", "volume-delete", _delete_volume, mutating=True),
    Route("GET", _APP + "/ip_assignments", "ip-list", _list_addresses),
    Route("POST", _APP + "/ip_assignments", "ip-assign", _assign_address, mutating=True),
    Route("DELETE", _APP + "/ip_assignments/{ip}", "ip-release", _release_address, mutating=True),
    Route("GET", _APP + "/certificates", "certs-list", _list_certificates),
    Route("POST", _APP + "/certificates/acme", "certs-add", _add_certificate, mutating=True),
    Route("POST", _APP + "/certificates/custom", "certs-add", _add_certificate, mutating=True),
    Route("GET", _APP + "/certificates/{host}", "certs-check", _certificate),
    Route("POST", _APP + "/certificates/{host}/check", "certs-check", _certificate),
    Route("DELETE", _APP + "/certificates/{host}", "certs-delete", _certificate, mutating=True),
)
