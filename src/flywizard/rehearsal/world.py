"""Owns the World: everything that exists on the simulated Fly.io, as plain state without sockets or tasks."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

from flywizard.rehearsal.clock import Durations
from flywizard.rehearsal.world_records import (
    JSON,
    App,
    Cluster,
    Image,
    Machine,
    Organization,
    Region,
    Release,
    RequestRecord,
    Token,
    Volume,
    from_dict,
    hexdigits,
    to_dict,
)

FORMAT = 1
EMAIL = "you@example.com"
TAKEN_NAMES = ("taken-name", "api", "web", "app", "backend", "frontend", "test", "helpdesk")
ORGANIZATIONS = (
    Organization("orgP1", "personal", "you-personal", "You", "PERSONAL", 101),
    Organization("orgA1", "acme", "acme", "Acme Inc", "SHARED", 102),
)
REGIONS = (
    Region("ams", "Amsterdam, Netherlands", 52.37, 4.89, "europe", True),
    Region("arn", "Stockholm, Sweden", 59.65, 17.92, "europe", False),
    Region("cdg", "Paris, France", 48.86, 2.35, "europe", False),
    Region("dfw", "Dallas, Texas (US)", 32.78, -96.80, "north_america", False),
    Region("ewr", "Secaucus, NJ (US)", 40.79, -74.06, "north_america", False),
    Region("fra", "Frankfurt, Germany", 50.11, 8.68, "europe", True),
    Region("gru", "Sao Paulo, Brazil", -23.55, -46.63, "south_america", True),
    Region("iad", "Ashburn, Virginia (US)", 39.02, -77.46, "north_america", True),
    Region("jnb", "Johannesburg, South Africa", -26.20, 28.05, "africa", False),
    Region("lax", "Los Angeles, California (US)", 34.05, -118.24, "north_america", True),
    Region("lhr", "London, United Kingdom", 51.51, -0.13, "europe", True),
    Region("nrt", "Tokyo, Japan", 35.68, 139.69, "asia_pacific", True),
    Region("ord", "Chicago, Illinois (US)", 41.88, -87.63, "north_america", True),
    Region("sin", "Singapore, Singapore", 1.35, 103.82, "asia_pacific", True),
    Region("sjc", "San Jose, California (US)", 37.34, -121.89, "north_america", True),
    Region("syd", "Sydney, Australia", -33.87, 151.21, "asia_pacific", True),
    Region("yyz", "Toronto, Canada", 43.65, -79.38, "north_america", True),
)
KEPT_READS = 500


class World:
    """The state of the simulated Fly.io. Times are Unix seconds; what depends on time is derived at a look."""

    def __init__(
        self,
        *,
        durations: Durations | None = None,
        taken: Sequence[str] = TAKEN_NAMES,
        key: str | None = None,
    ) -> None:
        """Make a World with two organisations, regions, and names that others hold.

        ``key`` (hex) makes secret digests and cluster passwords; random when not given.
        """
        self.durations = durations or Durations()
        self.key = key or secrets.token_hex(16)
        self.email = EMAIL
        self.organizations = [from_dict(Organization, to_dict(o)) for o in ORGANIZATIONS]
        self.regions = [from_dict(Region, to_dict(r)) for r in REGIONS]
        self.nearest = "ams"
        self.taken: set[str] = set(taken)
        self.apps: dict[str, App] = {}
        self.machines: dict[str, Machine] = {}
        self.volumes: dict[str, Volume] = {}
        self.releases: dict[str, Release] = {}
        self.images: dict[str, Image] = {}
        self.clusters: dict[str, Cluster] = {}
        self.builds: dict[str, JSON] = {}
        self.tokens: dict[str, Token] = {}
        self.refused: set[str] = set()
        """Digests of tokens that are answered with 401."""
        self.said: list[JSON] = []
        """Log lines put in from outside: {"at", "app", "instance", "message", "level"}."""
        self.sessions: dict[str, JSON] = {}
        self.requests: list[RequestRecord] = []
        self.reads = 0
        self.counters: dict[str, int] = {}
        self.databases: dict[str, JSON] = {}
        """Real databases behind clusters, by cluster id or ``*``: memory only, never in the state file."""

    # -- counting -----------------------------------------------------------------------------

    def next(self, kind: str) -> int:
        """Return 1, 2, 3 … for each kind."""
        self.counters[kind] = self.counters.get(kind, 0) + 1
        return self.counters[kind]

    def new_id(self, kind: str, length: int) -> str:
        """Return hex digits that no other thing of this kind has."""
        return hexdigits(f"{self.key}:{kind}:{self.next(kind)}", length)

    def changes(self) -> list[RequestRecord]:
        """Return the changing requests that were committed, in order."""
        return [r for r in self.requests if r.mutating and r.committed]

    def count(self, kind: str, name: str = "") -> int:
        """Return how many things exist: kind is app, machine, volume, cluster, release, image, address, token.

        ``name`` narrows: the app's for machines, volumes, releases, images and addresses (``APP/GROUP`` for
        machines of one group), the thing's own name otherwise. Destroyed things do not count.

        Raises:
            ValueError: unknown kind.
        """
        app, _, group = name.partition("/")
        match kind:
            case "app":
                return sum(1 for a in self.apps.values() if name in ("", a.name))
            case "machine":
                return sum(
                    1
                    for m in self.machines.values()
                    if app in ("", m.app)
                    and group in ("", m.group)
                    and m.group != "fly_app_release_command"
                    and m.phases[-1][1] != "destroyed"
                )
            case "volume":
                return sum(
                    1 for v in self.volumes.values() if name in ("", v.app, v.name) and not v.destroyed
                )
            case "cluster":
                return sum(1 for c in self.clusters.values() if name in ("", c.name))
            case "release":
                return sum(1 for r in self.releases.values() if name in ("", r.app))
            case "image":
                return sum(1 for i in self.images.values() if name in ("", i.app))
            case "address":
                return sum(len(a.addresses) for a in self.apps.values() if name in ("", a.name))
            case "token":
                return sum(1 for t in self.tokens.values() if name in ("", t.app))
            case _:
                raise ValueError(f"the World does not count `{kind}`")

    def record(self, entry: RequestRecord) -> None:
        """Note a request; of those that change nothing only the newest are kept."""
        self.requests.append(entry)
        if not entry.mutating:
            self.reads += 1
            if self.reads % KEPT_READS == 0:
                reads = [i for i, r in enumerate(self.requests) if not r.mutating]
                drop = set(reads[:-KEPT_READS])
                self.requests = [r for i, r in enumerate(self.requests) if i not in drop]

    # -- organisations, apps ------------------------------------------------------------------

    def organization(self, slug: str) -> Organization | None:
        """Find an organisation by slug, raw slug or id."""
        for org in self.organizations:
            if slug in (org.slug, org.raw_slug, org.id):
                return org
        return None

    def region(self, code: str) -> Region | None:
        """Find a region."""
        return next((r for r in self.regions if r.code == code), None)

    def create_app(
        self, name: str, org: Organization, now: float, *, role: str = "", network: str = ""
    ) -> App:
        """Make an app. The caller has checked the name."""
        number = 5000 + self.next("app")
        app = App(
            id="app" + self.new_id("app-id", 10),
            name=name,
            org=org.raw_slug,
            numeric_id=number,
            created_at=now,
            network=network or "default",
            app_role=role,
        )
        self.apps[name] = app
        return app

    def delete_app(self, name: str) -> None:
        """Drop an app with everything in it; attachments of clusters go too."""
        self.apps.pop(name, None)
        for machine in [m.id for m in self.machines.values() if m.app == name]:
            del self.machines[machine]
        for volume in [v.id for v in self.volumes.values() if v.app == name]:
            del self.volumes[volume]
        for release in [r.id for r in self.releases.values() if r.app == name]:
            del self.releases[release]
        for ref in [i.ref for i in self.images.values() if i.app == name]:
            del self.images[ref]
        for cluster in self.clusters.values():
            cluster.attachments = [a for a in cluster.attachments if a != name]

    def releases_of(self, app: str) -> list[Release]:
        """Return an app's releases, newest first."""
        return sorted((r for r in self.releases.values() if r.app == app), key=lambda r: -r.version)

    def add_image(self, ref: str, now: float, **fields: Any) -> Image:
        """Put an image into the registry; ``fields`` are those of ``Image``."""
        repository, tag = split_ref(ref)
        values: JSON = {
            "app": repository.rsplit("/", 1)[-1],
            "tag": tag,
            "digest": "sha256:" + hexdigits(ref, 64),
            "size": 73_400_320,
            "created_at": now,
            "ready_at": now,
        }
        image = Image(ref=ref, **(values | fields))
        self.images[ref] = image
        return image

    def image(self, ref: str, now: float) -> Image | None:
        """Return an image that can be pulled; images of other registries always can."""
        image = self.images.get(ref)
        if image is None and "@sha256:" in ref:
            digest = ref.partition("@")[2]
            image = next((i for i in self.images.values() if i.digest == digest), None)
        if image is not None:
            return image if image.ready_at <= now else None
        if ref.startswith("registry.fly.io/"):
            return None
        tag = split_ref(ref)[1]
        return Image(ref, "", tag, "sha256:" + hexdigits(ref, 64), 104_857_600, now, now)

    # -- secrets ------------------------------------------------------------------------------

    def digest(self, text: str) -> str:
        """Return a keyed digest: equal for equal values in this World, useless elsewhere."""
        return hmac.new(bytes.fromhex(self.key), text.encode(), hashlib.sha256).hexdigest()[:16]

    def set_secrets(self, app: App, values: dict[str, str | None], now: float) -> int:
        """Set (or with None drop) secrets; only digests are kept. Return the new version."""
        app.secrets_version += 1
        for name, value in values.items():
            if value is None:
                app.secrets.pop(name, None)
                continue
            old = app.secrets.get(name)
            app.secrets[name] = {
                "digest": self.digest(value),
                "created_at": old["created_at"] if old else now,
                "updated_at": now,
                "version": app.secrets_version,
                "since": old["since"] if old else app.secrets_version,
            }
        return app.secrets_version

    # -- saving -------------------------------------------------------------------------------

    def to_json(self) -> JSON:
        """Return the whole state as JSON-ready values; no secret value, no token, no password is in it."""
        return {
            "format": FORMAT,
            "key": self.key,
            "email": self.email,
            "nearest": self.nearest,
            "taken": sorted(self.taken),
            "organizations": [to_dict(o) for o in self.organizations],
            "regions": [to_dict(r) for r in self.regions],
            **{name: {k: to_dict(v) for k, v in getattr(self, name).items()} for name in _TABLES},
            "builds": self.builds,
            "refused": sorted(self.refused),
            "said": self.said,
            "sessions": self.sessions,
            "requests": [to_dict(r) for r in self.requests if r.mutating],
            "reads": self.reads,
            "counters": self.counters,
        }

    @classmethod
    def from_json(cls, data: JSON, *, durations: Durations | None = None) -> World:
        """Make a World from ``to_json``.

        Raises:
            ValueError: another format.
        """
        if data.get("format") != FORMAT:
            raise ValueError("the saved World has another format; start again with --reset")
        world = cls(durations=durations, taken=data["taken"], key=data["key"])
        world.email = data["email"]
        world.nearest = data["nearest"]
        world.organizations = [from_dict(Organization, o) for o in data["organizations"]]
        world.regions = [from_dict(Region, r) for r in data["regions"]]
        for name, kind in _TABLES.items():
            setattr(world, name, {k: from_dict(kind, v) for k, v in data[name].items()})
        world.builds = data["builds"]
        world.refused = set(data["refused"])
        world.said = data["said"]
        world.sessions = data["sessions"]
        world.requests = [from_dict(RequestRecord, r) for r in data["requests"]]
        world.reads = data["reads"]
        world.counters = data["counters"]
        return world


_TABLES: dict[str, type[Any]] = {
    "apps": App,
    "machines": Machine,
    "volumes": Volume,
    "releases": Release,
    "images": Image,
    "clusters": Cluster,
    "tokens": Token,
}


def split_ref(ref: str) -> tuple[str, str]:
    """Return (repository with registry, tag); the tag is ``latest`` when none is given."""
    bare = ref.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    name, colon, tag = last.partition(":")
    return head + slash + name, tag if colon else "latest"
