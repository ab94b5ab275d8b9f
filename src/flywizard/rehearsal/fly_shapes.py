"""Fly's objects in the shapes that flyctl prints: Go-cased structs with their zero values, in field order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywizard.rehearsal.fly_core import Json

NO_TIME = "0001-01-01T00:00:00Z"
NODES = {"Nodes": None}
NODES_EDGES = {"Nodes": None, "Edges": None}
IMAGE = {"Registry": "", "Repository": "", "Tag": "", "Version": "", "Digest": ""}


def organization(o: Mapping[str, Any]) -> Json:
    """fly-go's `Organization`."""
    return {
        "ID": o.get("id") or "",
        "InternalNumericID": o.get("internalNumericId") or "",
        "Name": o.get("name") or "",
        "RemoteBuilderImage": "",
        "RemoteBuilderApp": None,
        "Slug": o.get("slug") or "",
        "RawSlug": o.get("rawSlug") or "",
        "Type": o.get("type") or "",
        "PaidPlan": bool(o.get("paidPlan")),
        "Billable": bool(o.get("billable")),
        "Settings": None,
        "AllowedReplaySourceOrgSlugs": None,
        "AllowAllCrossNetworkReplays": False,
        "WireGuardPeer": None,
        "WireGuardPeers": dict(NODES_EDGES),
        "DelegatedWireGuardTokens": dict(NODES_EDGES),
        "LoggedCertificates": None,
    }


def _certificate() -> Json:
    return {
        "ID": "",
        "AcmeDNSConfigured": False,
        "AcmeALPNConfigured": False,
        "Configured": False,
        "CertificateAuthority": "",
        "CreatedAt": NO_TIME,
        "DNSProvider": "",
        "DNSValidationInstructions": "",
        "DNSValidationHostname": "",
        "DNSValidationTarget": "",
        "Hostname": "",
        "Source": "",
        "ClientStatus": "",
        "IsApex": False,
        "IsWildcard": False,
        "ValidationErrors": None,
        "Issued": dict(NODES),
    }


def _current_release(r: Mapping[str, Any] | None) -> Json:
    if not r:
        return None
    return {
        "ID": r.get("id") or "",
        "Version": r.get("version") or 0,
        "Stable": bool(r.get("stable")),
        "InProgress": bool(r.get("inProgress")),
        "Reason": r.get("reason") or "",
        "Description": r.get("description") or "",
        "Status": r.get("status") or "",
        "DeploymentStrategy": "",
        "Metadata": None,
        "User": release_user(r.get("user") or {}),
        "EvaluationID": r.get("evaluationId") or "",
        "CreatedAt": r.get("createdAt") or NO_TIME,
        "ImageRef": r.get("imageRef") or "",
    }


def release_user(u: Mapping[str, Any]) -> Json:
    """fly-go's `User` inside a release."""
    return {
        "ID": u.get("id") or "",
        "Name": u.get("name") or "",
        "Email": u.get("email") or "",
        "EnablePaidHobby": bool(u.get("enablePaidHobby")),
    }


def release(r: Mapping[str, Any]) -> Json:
    """fly-go's `Release`."""
    return _current_release(r)


def app(a: Mapping[str, Any]) -> Json:
    """fly-go's `App`; what the query did not ask for is a zero value."""

    def nodes(key: str) -> Json:
        return {"Nodes": list((a[key] or {}).get("nodes") or [])} if key in a else dict(NODES)

    return {
        "ID": a.get("id") or "",
        "InternalNumericID": int(a.get("internalNumericId") or 0),
        "Name": a.get("name") or "",
        "State": a.get("state") or "",
        "Status": a.get("status") or "",
        "Deployed": bool(a.get("deployed")),
        "Hostname": a.get("hostname") or "",
        "AppURL": a.get("appUrl") or "",
        "Version": int(a.get("version") or 0),
        "NetworkID": 0,
        "Network": a.get("network") or "",
        "Release": None,
        "Organization": organization(a.get("organization") or {}),
        "Secrets": None,
        "CurrentRelease": _current_release(a.get("currentRelease")),
        "Releases": dict(NODES),
        "IPAddresses": nodes("ipAddresses"),
        "EgressIpAddresses": dict(NODES),
        "SharedIPAddress": a.get("sharedIpAddress") or "",
        "CNAMETarget": a.get("cnameTarget") or "",
        "IPAddress": None,
        "Certificates": dict(NODES),
        "Certificate": _certificate(),
        "PostgresAppRole": None,
        "Image": None,
        "ImageUpgradeAvailable": False,
        "ImageVersionTrackingEnabled": False,
        "ImageDetails": dict(IMAGE),
        "LatestImageDetails": dict(IMAGE),
        "PlatformVersion": a.get("platformVersion") or "",
        "Machines": nodes("machines"),
        "CurrentLock": None,
    }


MACHINE_KEYS = (
    "id",
    "name",
    "state",
    "region",
    "image_ref",
    "instance_id",
    "version",
    "private_ip",
    "created_at",
    "updated_at",
    "config",
    "events",
    "checks",
    "nonce",
    "host_status",
    "cordoned",
)
EVENT_KEYS = ("type", "status", "request", "source", "timestamp")


def machine(m: Mapping[str, Any]) -> Json:
    """fly-go's `Machine` as `machine list --json` and `status --json` print it."""
    shown: dict[str, Any] = {}
    for key in MACHINE_KEYS:
        value = m.get(key)
        match key:
            case "image_ref":
                image = value or {}
                value = {k: image.get(k) or "" for k in ("registry", "repository", "tag", "digest")}
                if image.get("labels"):
                    value["labels"] = image["labels"]
            case "events":
                value = [{k: e.get(k) for k in EVENT_KEYS if k in e} for e in value or []]
            case "checks":
                keys = ("name", "status", "output", "updated_at")
                value = [{k: c.get(k) for k in keys if k in c} for c in value or []]
                if not value:
                    continue
            case "nonce" | "version":
                if not value:
                    continue
        shown[key] = value
    return shown


VOLUME_KEYS: dict[str, Any] = {
    "id": "",
    "name": "",
    "state": "",
    "size_gb": 0,
    "region": "",
    "zone": "",
    "encrypted": False,
    "attached_machine_id": None,
    "attached_alloc_id": None,
    "created_at": NO_TIME,
    "host_dedication_id": "",
    "snapshot_retention": 0,
    "auto_backup_enabled": False,
    "host_status": "ok",
}


def volume(v: Mapping[str, Any]) -> Json:
    """fly-go's `Volume`."""
    return {key: v.get(key, zero) for key, zero in VOLUME_KEYS.items()}


CLUSTER_LIST_KEYS = (
    "id",
    "mpgd_cluster_id",
    "version",
    "name",
    "region",
    "status",
    "plan",
    "disk",
    "replicas",
)
CLUSTER_KEYS = ("id", "name", "status", "engine", "plan", "region")


def listed_cluster(c: Mapping[str, Any]) -> Json:
    """A Managed Postgres cluster as `mpg list --json` prints it."""
    return {
        **{k: c.get(k) for k in CLUSTER_LIST_KEYS},
        "organization": organization(c.get("organization") or {}),
        "ip_assignments": c.get("ip_assignments") or {"direct": ""},
        "attached_apps": c.get("attached_apps") or [],
    }


def cluster(c: Mapping[str, Any]) -> Json:
    """A Managed Postgres cluster as `mpg status --json` prints it."""
    return {
        **{k: c.get(k, "") for k in CLUSTER_KEYS},
        "organization": organization(c.get("organization") or {}),
        "mpgd_cluster_id": c.get("mpgd_cluster_id", ""),
        "disk": c.get("disk", 0),
        "replicas": c.get("replicas", 0),
        "ip_assignments": c.get("ip_assignments") or {"direct": ""},
        "attached_apps": c.get("attached_apps") or [],
    }
