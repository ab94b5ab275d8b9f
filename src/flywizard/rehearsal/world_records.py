"""Owns the records that the World is made of, and their JSON form: what exists on the simulated Fly.io."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")
JSON = dict[str, Any]


def stamp(at: float) -> str:
    """Return Unix seconds as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def hexdigits(text: str, length: int) -> str:
    """Return ``length`` hex digits that depend on ``text`` only (at most 64)."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def to_dict(record: Any) -> JSON:
    """Return a record as JSON-ready values."""
    return dataclasses.asdict(record)


def from_dict(kind: type[T], data: JSON) -> T:
    """Make a record, dropping keys that this version does not know."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in data.items() if key in names})


@dataclass(slots=True)
class Organization:
    """An organisation; ``raw_slug`` differs from ``slug`` for the personal one."""

    id: str
    slug: str
    raw_slug: str
    name: str
    type: str
    numeric_id: int
    paid_plan: bool = True
    billable: bool = True
    billing_status: str = "CURRENT"


@dataclass(slots=True)
class Region:
    """A region of the platform."""

    code: str
    name: str
    latitude: float
    longitude: float
    geo_region: str
    mpg_available: bool
    deprecated: bool = False


@dataclass(slots=True)
class App:
    """An app; ``org`` is the raw slug of its organisation."""

    id: str
    name: str
    org: str
    numeric_id: int
    created_at: float
    network: str = "default"
    status: str = "pending"
    app_role: str = ""
    secrets: dict[str, JSON] = field(default_factory=dict)
    """Name to {"digest", "created_at", "updated_at", "version", "since"}; never a value."""
    secrets_version: int = 0
    addresses: list[JSON] = field(default_factory=list)
    """{"ip", "type", "region", "service_name", "shared", "created_at", "id"}."""
    certificates: dict[str, JSON] = field(default_factory=dict)


@dataclass(slots=True)
class Lease:
    """Who holds a machine, until when."""

    nonce: str
    owner: str
    expires_at: float
    version: str


@dataclass(slots=True)
class Machine:
    """A machine. Its state at a moment follows from ``phases``; see ``world_machines``."""

    id: str
    name: str
    app: str
    region: str
    instance_id: str
    version: str
    private_ip: str
    created_at: float
    updated_at: float
    config: JSON
    phases: list[list[Any]]
    """[[Unix seconds, state], …] of the last action; the first one is the state before it."""
    events: list[JSON] = field(default_factory=list)
    """Oldest first; each has "at", from which on it is visible, beside the fields that are shown."""
    runs: list[JSON] = field(default_factory=list)
    """{"at", "until", "role", "crash", "exit_code"}: times at which its main process ran, for logs and checks."""
    cordoned: bool = False
    host_status: str = "ok"
    never_healthy: bool = False
    secrets_version: int = 0
    lease: JSON | None = None

    @property
    def group(self) -> str:
        """Process group, from the metadata."""
        return str((self.config.get("metadata") or {}).get("fly_process_group", ""))


@dataclass(slots=True)
class Volume:
    """A volume."""

    id: str
    name: str
    app: str
    region: str
    size_gb: int
    created_at: float
    encrypted: bool = True
    attached_machine_id: str | None = None
    snapshot_retention: int = 5
    auto_backup_enabled: bool = True
    destroyed: bool = False


@dataclass(slots=True)
class Release:
    """A release of an app, with the configuration that was sent."""

    id: str
    app: str
    version: int
    status: str
    strategy: str
    user: str
    created_at: float
    image_ref: str
    definition: JSON = field(default_factory=dict)
    metadata: JSON | None = None


@dataclass(slots=True)
class Image:
    """An image in the registry. It can be pulled from ``ready_at`` on."""

    ref: str
    app: str
    tag: str
    digest: str
    size: int
    created_at: float
    ready_at: float
    kind: str = ""
    """``api``, ``web`` or unknown; decides how long a build takes and what the edge shows."""
    args: dict[str, str] = field(default_factory=dict)
    """Build arguments: public by their nature, they are baked into the pages."""
    context_digest: str = ""


@dataclass(slots=True)
class Cluster:
    """A cluster of Managed Postgres."""

    id: str
    name: str
    org: str
    region: str
    plan: str
    disk: int
    version: str
    created_at: float
    ready_at: float
    numeric_id: int
    postgis: bool = False
    failed: bool = False
    """It ends in the status ``error`` instead of ``ready``."""
    databases: dict[str, JSON] = field(default_factory=dict)
    """Name to {"extensions": {NAME: {"version", "schema"}}}."""
    users: dict[str, str] = field(default_factory=dict)
    """Name to role."""
    attachments: list[str] = field(default_factory=list)
    """Names of attached apps."""


@dataclass(slots=True)
class RequestRecord:
    """One request that arrived: no query string, no header, no body."""

    at: float
    method: str
    path: str
    operation: str
    status: int
    """0: the connection was cut without an answer."""
    mutating: bool
    committed: bool
    fault: str = ""


@dataclass(slots=True)
class Token:
    """A token that the World knows, by its digest."""

    email: str
    kind: str = "user"
    """user · org · deploy · readonly."""
    app: str = ""
    expired: bool = False
