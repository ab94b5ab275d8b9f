"""Owns the target: what shall stand on Fly, resolved from flywizard.toml and the findings. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RELEASE_VARIABLE = "FLYWIZARD_RELEASE"
"""``COMMIT.CONFIGDIGEST``, set on each machine, so that a teammate and CI see what runs."""


@dataclass(frozen=True, slots=True)
class SecretWish:
    """One secret of one app."""

    name: str
    kind: Literal["vault", "literal", "database", "direct-database", "part"]
    """``vault``: kept under ``key``; ``literal``: not secret; the others come from the database's credentials."""
    key: str = ""
    """Name in the vault; for ``part``: host, port, user, password or database."""
    why: str = ""
    fresh: bool = False
    """The user entered it just now: it is set even where Fly has one of that name."""
    driver: str = ""
    """For URLs: the driver whose form is needed (``dsn.py``)."""
    literal: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """One process group of an app."""

    name: str
    role: Literal["api", "worker", "web", "other"]
    service: str
    """Key in flywizard.toml."""
    machines: int = 1
    memory_mb: int = 1024
    public: bool = False
    stops_when_idle: bool = False


@dataclass(frozen=True, slots=True)
class AppTarget:
    """One app."""

    name: str
    service: str
    """The service that gives it its image: api, worker, web."""
    config: str
    """fly.toml, relative to the root."""
    context: str
    """Build context, relative to the root."""
    dockerfile: str | None
    groups: tuple[Group, ...]
    secrets: tuple[SecretWish, ...] = ()
    image: str | None = None
    """A prebuilt image: nothing is built."""
    image_of: str | None = None
    """Take the image that is built for this app (a worker app of its own)."""
    label: str = ""
    """Tag of the image to build: ``src-`` and 16 hex digits of the source digest."""
    build_args: tuple[tuple[str, str], ...] = ()
    health: str | None = None
    deep_health: str | None = None
    config_digest: str = ""
    why: str = "flywizard.toml"
    release_command: str | None = None
    needs_database: bool = False
    public_values: tuple[str, ...] = ()
    """Values that the served JavaScript must contain."""

    @property
    def public(self) -> bool:
        """Tell whether it has an address."""
        return any(g.public for g in self.groups)

    @property
    def url(self) -> str:
        """Return the public address."""
        return f"https://{self.name}.fly.dev"

    @property
    def built_image(self) -> str:
        """Return the reference of the image that a build pushes."""
        return f"registry.fly.io/{self.name}:{self.label}"


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """The database."""

    kind: Literal["managed", "existing"]
    name: str
    plan: str = "basic"
    storage_gb: int = 10
    version: int = 17
    database: str = "fly-db"
    extensions: tuple[tuple[str, str], ...] = ()
    """(name, why)."""
    schema: tuple[tuple[str, str], ...] = ()
    """SQL files to run: (path, text), in order."""
    url_key: str = ""
    """existing: the vault's name of its URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """Everything."""

    project: str
    organization: str
    region: str
    apps: tuple[AppTarget, ...]
    database: DatabaseTarget | None = None
    commit: str = "none"
    """Short id of the commit, ``-dirty`` behind it where the work tree differs."""
