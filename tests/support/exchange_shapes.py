"""Writes GraphQL documents whose answers have a recorded shape, and compares shapes."""

from __future__ import annotations

from typing import Any

ALIASES = {
    "appcompact": "app",
    "appbasic": "app",
    "postgresAppRole": "role",
    "compressedSize": "compressedSizeFull",
    "currentRelease": "currentReleaseUnprocessed",
    "releases": "releasesUnprocessed(first: 25)",
}
ARGUMENTS = {
    "app": "(name: $appName)",
    "image": "(ref: $imageRef)",
    "organizations": "(admin: $admin)",
    "apps": "(organizationId: $org)",
    "latestImageTag": "(repository: $repository)",
    "canPerformBluegreenDeployment": "(name: $appName)",
    "allocateIpAddress": "(input: $input)",
    "validateWireGuardPeers": "(input: $input)",
    "addOns": "(type: $addOnType)",
    "createLimitedAccessToken": "(input: $input)",
    "enablePostgresConsul": "(input: $input)",
    "issueCertificate": "(input: $input)",
}
TYPES = {
    "appName": "String!",
    "imageRef": "String!",
    "admin": "Boolean",
    "org": "ID",
    "repository": "String!",
    "addOnType": "AddOnType",
    "slug": "String!",
    "orgSlug": "String!",
    "limit": "Int",
    "input": "JSON!",
}
MUTATIONS = {
    "allocateIpAddress": "AllocateIPAddressInput!",
    "validateWireGuardPeers": "ValidateWireGuardPeersInput!",
    "createLimitedAccessToken": "CreateLimitedAccessTokenInput!",
    "enablePostgresConsul": "EnablePostgresConsulInput!",
    "issueCertificate": "IssueCertificateInput!",
    "logOut": "",
}
LEAVES = {"configDefinition", "manifest", "definition"}
DEFAULT_FIELDS = {"app": "id", "viewer": "__typename", "organization": "id"}


def document(body: dict[str, Any], response: Any) -> tuple[str, dict[str, Any]]:
    """Write a query whose answer has the recorded shape; return (query, variables)."""
    variables = {k: v for k, v in (body.get("variables") or {}).items() if k in TYPES}
    root = body["root"][0]
    mutation = root in MUTATIONS
    if mutation and "input" not in variables and MUTATIONS[root]:
        variables["input"] = dict(body.get("variables") or {})
    data = (response.get("data") if isinstance(response, dict) else None) or {root: None}
    selection = _selection(data, root_level=True, variables=variables)
    head = ", ".join(
        f"${name}: {MUTATIONS[root] if mutation and name == 'input' else TYPES[name]}" for name in variables
    )
    words = "mutation" if mutation else "query"
    return f"{words}{f'({head})' if head else ''} {selection}", variables


def _selection(data: dict[str, Any], *, root_level: bool = False, variables: dict[str, Any]) -> str:
    parts = []
    for key, value in data.items():
        name = ALIASES.get(key, key)
        if (
            key == "currentRelease"
            and isinstance(value, dict)
            and "id" not in value
            and "version" not in value
        ):
            name = "currentRelease"
        bare = name.partition("(")[0]
        text = (key if name == key else f"{key}: {name}") + ARGUMENTS.get(bare, "")
        if bare == "organization" and root_level:
            text += "(slug: $orgSlug)" if "orgSlug" in variables else "(slug: $slug)"
        below = value[0] if isinstance(value, list) and value else value
        if bare == "viewer" and isinstance(below, dict):
            text += " { ... on User { id email enablePaidHobby } ... on Macaroon { email } }"
        elif isinstance(below, dict) and key not in LEAVES:
            text += " " + _selection(below, variables=variables)
        elif bare in DEFAULT_FIELDS and root_level:
            text += f" {{ {DEFAULT_FIELDS[bare]} }}"
        elif bare == "validateWireGuardPeers":
            text += " { invalidPeerIps }"
        elif bare == "image" and below is None:
            text += " { id }"
        elif bare in ("role", "network", "currentReleaseUnprocessed", "imageDetails") and below is None:
            text += {
                "role": " { name }",
                "currentReleaseUnprocessed": " { id }",
                "imageDetails": " { tag }",
            }.get(bare, "")
        elif bare in ("nodes", "services"):
            text += " { __typename }"
        parts.append(text)
    return "{ " + " ".join(parts) + " }"


def differences(wanted: Any, found: Any, place: str = "$") -> list[str]:
    """Return where ``found`` lacks what ``wanted`` has: keys and kinds of values; null and ``as before`` fit all."""
    if wanted is None or wanted == "(as before)" or wanted == "(left out)":
        return []
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return [f"{place}: an object is wanted, {found!r:.80} was found"]
        out = [f"{place}.{key}: missing" for key in wanted if key not in found]
        for key in wanted:
            if key in found and found[key] is not None:
                out += differences(wanted[key], found[key], f"{place}.{key}")
        return out
    if isinstance(wanted, list):
        if not isinstance(found, list):
            return [f"{place}: a list is wanted, {found!r:.80} was found"]
        return differences(wanted[0], found[0], f"{place}[0]") if wanted and found else []
    numbers = (int, float)
    same = type(wanted) is type(found) or (
        isinstance(wanted, numbers)
        and isinstance(found, numbers)
        and not isinstance(wanted, bool | type(None))
    )
    return [] if same else [f"{place}: like {wanted!r:.60} is wanted, {found!r:.60} was found"]
