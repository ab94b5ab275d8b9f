"""Owns reading flyctl's answers: tolerant JSON into typed results.

Keys are matched without regard to case and underscores (they changed between versions), unknown fields are
dropped, and warnings that flyctl prints in front of JSON are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flywizard.flyctl.plaintext import strip_ansi
from flywizard.vault import Secret


class DecodeError(ValueError):
    """flyctl printed something else than expected; the message never repeats the output."""


@dataclass(frozen=True, slots=True)
class Version:
    """``fly version``."""

    text: str
    numbers: tuple[int, ...]
    """e.g. (0, 4, 87), to compare; empty when the text is no such version."""
    name: str = "flyctl"


@dataclass(frozen=True, slots=True)
class Region:
    """One region."""

    code: str
    name: str
    mpg_available: bool
    gateway_available: bool = False
    requires_paid_plan: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """One app of a list."""

    name: str
    status: str = ""
    deployed: bool = False
    hostname: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True)
class SecretName:
    """One secret as Fly shows it: never its value."""

    name: str
    digest: str
    status: str = "Unknown"
    """Deployed · Staged · Partial · Unknown."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One Managed Postgres cluster."""

    id: str
    name: str
    status: str
    region: str = ""
    plan: str = ""
    disk_gb: int = 0
    organization: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to sign in to a cluster."""

    status: str
    user: str
    database: str
    password: Secret
    pooled_url: Secret
    """Through the pooler; the direct host needs another name."""

    @property
    def ready(self) -> bool:
        """Tell whether they can be used; ``mpg attach`` before that stores an empty URL."""
        return bool(self.pooled_url) and bool(self.password)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """``fly mpg status``."""

    cluster: Cluster
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension of a database."""

    name: str
    default_version: str = ""
    installed: str | None = None
    """Installed version, or None."""
    schema: str = ""
    is_system: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """One release, of a list or of the line a deploy ends with."""

    id: str
    version: int
    image: str
    status: str = ""
    """pending · running · complete · failed · interrupted."""
    user: str = ""
    created_at: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """One address of ``fly ips list``."""

    address: str
    type: str
    """v4 · v6 · shared_v4 · private_v6."""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a command inside a machine did."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume."""

    id: str
    name: str
    size_gb: int = 0
    region: str = ""
    state: str = ""
    attached_machine: str = ""


def json_in(text: str) -> Any:
    """Return the first JSON object or array that begins a line, skipping warnings before it.

    Raises:
        DecodeError: there is none.
    """
    clean = strip_ansi(text).lstrip("\ufeff")
    decoder = json.JSONDecoder()
    for match in re.finditer(r"^[ \t]*(?=[\[{])", clean, re.MULTILINE):
        try:
            return decoder.raw_decode(clean, match.end())[0]
        except ValueError:
            continue
    raise DecodeError("flyctl printed no JSON")


def objects_in(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a text that puts one after the other (``fly logs --json``); stops at a torn one."""
    clean = strip_ansi(text)
    decoder = json.JSONDecoder()
    at = clean.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(clean, at)
        except ValueError:
            return
        if isinstance(value, dict):
            yield value
        at = clean.find("{", end)


def field(value: Any, *names: str) -> Any:
    """Return the first field found under one of the names, regardless of case and underscores, else None."""
    if not isinstance(value, Mapping):
        return None
    folded = {str(key).replace("_", "").lower(): key for key in value}
    for name in names:
        key = folded.get(name.replace("_", "").lower())
        if key is not None and value[key] is not None:
            return value[key]
    return None


def _text(value: Any, *names: str) -> str:
    found = field(value, *names)
    return found if isinstance(found, str) else "" if found is None else str(found)


def _int(value: Any, *names: str) -> int:
    found = field(value, *names)
    try:
        return int(found)
    except (TypeError, ValueError):
        return 0


def _flag(value: Any, *names: str) -> bool:
    return field(value, *names) is True


def _list(text: str, what: str) -> list[Any]:
    value = json_in(text)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DecodeError(f"flyctl printed {what} in a form flywizard does not know")
    return [item for item in value if isinstance(item, Mapping)]


def _object(text: str, what: str) -> Mapping[str, Any]:
    value = json_in(text)
    if not isinstance(value, Mapping):
        raise DecodeError(f"flyctl printed {what} in a form flywizard does not know")
    return value


def version(text: str) -> Version:
    """Read ``fly version --json``, or its plain form ``flyctl v0.4.87 linux/amd64 …``.

    Raises:
        DecodeError: it is neither.
    """
    try:
        found = field(_object(text, "its version"), "version")
    except DecodeError:
        match = re.search(r"\bfly(?:ctl)?\s+v(\d\S*)", strip_ansi(text))
        if match is None:
            raise
        found = match.group(1)
    if isinstance(found, Mapping):  # older versions nest the numbers
        found = ".".join(str(_int(found, part)) for part in ("major", "minor", "patch"))
    if not isinstance(found, str) or not found:
        raise DecodeError("flyctl printed no version")
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", found)
    return Version(found.lstrip("v"), tuple(int(n) for n in numbers.group(1).split(".")) if numbers else ())


def whoami(text: str) -> str:
    """Return the e-mail address. Raises DecodeError."""
    email = _text(_object(text, "who is signed in"), "email")
    if not email:
        raise DecodeError("flyctl named nobody")
    return email


def token(text: str) -> Secret:
    """Return the token of ``auth token --json`` or ``tokens create --json``. Raises DecodeError."""
    value = _text(_object(text, "a token"), "token")
    if not value:
        raise DecodeError("flyctl printed no token")
    return Secret(value)


def orgs(text: str) -> dict[str, str]:
    """Return slug to name, in flyctl's order. Raises DecodeError."""
    value = json_in(text)
    if isinstance(value, list):  # tolerated: a list of objects
        return {_text(o, "slug"): _text(o, "name") for o in value if _text(o, "slug")}
    if not isinstance(value, Mapping):
        raise DecodeError("flyctl printed organisations in a form flywizard does not know")
    return {str(slug): str(name) for slug, name in value.items()}


def regions(text: str) -> tuple[Region, ...]:
    """Read ``platform regions --json``. Raises DecodeError."""
    return tuple(
        Region(
            _text(r, "code"),
            _text(r, "name"),
            _flag(r, "mpg_available"),
            _flag(r, "gateway_available"),
            _flag(r, "requires_paid_plan"),
        )
        for r in _list(text, "regions")
        if _text(r, "code") and not _flag(r, "deprecated")
    )


def apps(text: str) -> tuple[App, ...]:
    """Read ``apps list --json``. Raises DecodeError."""
    return tuple(
        App(
            _text(a, "name"),
            _text(a, "status"),
            _flag(a, "deployed"),
            _text(a, "hostname"),
            _text(field(a, "organization"), "slug"),
        )
        for a in _list(text, "apps")
        if _text(a, "name")
    )


def secrets(text: str) -> tuple[SecretName, ...]:
    """Read ``secrets list --json``. Raises DecodeError."""
    return tuple(
        SecretName(_text(s, "name"), _text(s, "digest"), _text(s, "status") or "Unknown")
        for s in _list(text, "secrets")
        if _text(s, "name")
    )


def _cluster(value: Any) -> Cluster:
    return Cluster(
        _text(value, "id"),
        _text(value, "name"),
        _text(value, "status"),
        _text(value, "region"),
        _text(value, "plan"),
        _int(value, "disk", "storage_in_gb"),
        _text(field(value, "organization"), "slug"),
    )


def clusters(text: str) -> tuple[Cluster, ...]:
    """Read ``mpg list --json``; none are told as a sentence. Raises DecodeError."""
    try:
        found = _list(text, "clusters")
    except DecodeError:
        if re.search(r"no managed postgres clusters found", text, re.IGNORECASE):
            return ()
        raise
    return tuple(_cluster(c) for c in found if _text(c, "id"))


def cluster_status(text: str) -> ClusterStatus:
    """Read ``mpg status ID --json``. Raises DecodeError, which never repeats the output."""
    value = _object(text, "the cluster's state")
    data = field(value, "data")
    if not _text(data, "id"):
        raise DecodeError("flyctl printed no cluster")
    credentials = field(value, "credentials")
    return ClusterStatus(
        _cluster(data),
        Credentials(
            _text(credentials, "status"),
            _text(credentials, "user"),
            _text(credentials, "dbname", "database"),
            Secret(_text(credentials, "password")),
            Secret(_text(credentials, "pgbouncer_uri")),
        ),
    )


def created_cluster(stdout: str) -> str | None:
    """Return the id that ``mpg create`` names right after its request, or None."""
    match = re.search(r"Waiting for cluster .* \((\S+)\) to be ready", strip_ansi(stdout))
    return match.group(1) if match else None


def extensions(text: str) -> tuple[Extension, ...]:
    """Read ``mpg databases extensions list --json``. Raises DecodeError."""
    return tuple(
        Extension(
            _text(e, "name"),
            _text(e, "default_version"),
            _text(installed, "version") if isinstance(installed := field(e, "installed"), Mapping) else None,
            _text(installed, "schema"),
            _flag(e, "is_system"),
        )
        for e in _list(text, "extensions")
        if _text(e, "name")
    )


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list of objects (databases, users). Raises DecodeError."""
    return tuple(_text(item, "name") for item in _list(text, "names") if _text(item, "name"))


def _release(value: Any) -> Release:
    user = field(value, "user")
    return Release(
        _text(value, "id"),
        _int(value, "version"),
        _text(value, "image_ref"),
        _text(value, "status"),
        _text(user, "email") if isinstance(user, Mapping) else _text(value, "user"),
        _text(value, "created_at"),
        _text(value, "description"),
    )


def releases(text: str) -> tuple[Release, ...]:
    """Read ``releases --json``, newest first. Raises DecodeError."""
    return tuple(_release(r) for r in _list(text, "releases"))


def deployed_release(stdout: str) -> Release | None:
    """Return the release that a successful deploy prints as one line of JSON, or None."""
    for line in reversed(strip_ansi(stdout).splitlines()):
        if line.startswith('{"') and '"image_ref"' in line:
            try:
                return _release(json.loads(line))
            except ValueError:
                continue
    return None


def addresses(text: str) -> tuple[Address, ...]:
    """Read ``ips list --json``. Raises DecodeError."""
    return tuple(
        Address(_text(a, "address"), _text(a, "type"), _text(a, "region"))
        for a in _list(text, "addresses")
        if _text(a, "address")
    )


def executed(text: str) -> Executed:
    """Read ``machine exec --json``; flyctl leaves out what is zero or empty. Raises DecodeError."""
    value = _object(text, "the command's result")
    return Executed(_int(value, "exit_code"), _text(value, "stdout"), _text(value, "stderr"))


def volumes(text: str) -> tuple[Volume, ...]:
    """Read ``volumes list --json``, or the one object of ``volumes create --json``. Raises DecodeError."""
    value = json_in(text)
    found = value if isinstance(value, list) else [value]
    return tuple(
        Volume(
            _text(v, "id"),
            _text(v, "name"),
            _int(v, "size_gb"),
            _text(v, "region"),
            _text(v, "state"),
            _text(v, "attached_machine_id"),
        )
        for v in found
        if _text(v, "id")
    )
