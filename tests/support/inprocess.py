"""A whole rehearsal in one process and in virtual time: World, stand-in flyctl, guard, databases, and a wizard to kill.

``Platform`` is what survives a killed wizard: the World, the children of its keepers, the keyring, the repository,
the state folder. ``Life`` is one wizard's process: once dead, none of its doors opens any more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flywizard.adapters.backstage import RealBackstage
from flywizard.adapters.files import RepositoryFiles
from flywizard.adapters.fly_http import FlyHttp
from flywizard.adapters.web import PublicWeb
from flywizard.backstage import GitState
from flywizard.events import Event, Outcome, Problem, StepFailed
from flywizard.fronts import Check, OnCheck
from flywizard.journal import FILE, Journal, JournalState, read_state
from flywizard.plain import PlainFront
from flywizard.plan import Command
from flywizard.ports import Ended, Ports
from flywizard.rehearsal.api import Api
from flywizard.rehearsal.api_messages import Request, Response
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.launch import StandInKeyring, copy_repository, stand_ins
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_tokens import new_token
from flywizard.session import Session
from flywizard.vault import EnvironmentVault, LayeredVault, Secret
from tests.support.inprocess_fly import ApiTransport, Attempt, KeptFly, run_command, seeded
from tests.support.inprocess_ports import MemoryDatabase, MemoryTunnel, Tables, WillingKafka
from tests.support.virtual_time import run_virtual

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "helpdesk"
EPOCH = 1_767_225_600.0
TOKEN = "FlyV1 " + new_token()


class Killed(BaseException):
    """The wizard's process is gone: not an error that anything may handle."""


class Clock:
    """Virtual time for both halves."""

    speed = 1.0

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


@dataclass(slots=True)
class Life:
    """One wizard's process."""

    dead: bool = False
    task: asyncio.Task[Any] | None = None

    def check(self) -> None:
        """Raise when it is dead: a dead process asks for nothing."""
        if self.dead:
            raise Killed


@dataclass(slots=True)
class Platform:
    """Everything that is not the wizard."""

    root: Path
    home: Path
    environ: dict[str, str]
    faults: Faults = field(default_factory=Faults)
    guard: bool = True
    clock: Clock = field(default_factory=Clock)
    world: World = field(default_factory=lambda: World(key="00" * 16))
    keyring: StandInKeyring = field(default_factory=StandInKeyring)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    databases: dict[str, Tables] = field(default_factory=dict)
    """By cluster id, or by the URL of one that exists."""
    bugs: list[str] = field(default_factory=list)
    """Tracebacks of the stand-in's own errors."""
    life: Life = field(default_factory=Life)
    session: Session | None = None
    """The wizard that runs now."""
    requests: int = 0
    """Requests that arrived, counted by ``on_request``."""
    on_request: Callable[[int, bool], None] = lambda number, after: None
    """Called before and after each request is worked on, with its number."""
    on_append: Callable[[int, bool], None] = lambda number, after: None
    """Called before and after each record of the journal, with its number."""
    appends: int = 0
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.world, self.clock, self.faults)

    async def handle(self, request: Request) -> Response:
        """Answer a request."""
        self.requests += 1
        number = self.requests
        self.on_request(number, False)
        answer = await self.api.handle(request)
        self.on_request(number, True)
        return answer

    def kill(self, *, children: bool = False) -> None:
        """End the wizard as SIGKILL does; with ``children`` the keepers too, as a power cut does."""
        self.life.dead = True
        if self.life.task is not None and self.life.task is not asyncio.current_task():
            self.life.task.cancel()
        if children:
            for attempt in self.attempts.values():
                attempt.task.cancel()

    def set_faults(self, *texts: str) -> None:
        """Replace the fault switches."""
        self.faults.clear()
        for text in texts:
            self.faults.add(text)

    def database(self, cluster: str) -> Tables:
        """Return the database behind a cluster or URL."""
        found = self.databases.setdefault(cluster, Tables())
        if cluster in self.world.clusters:
            of_fly = self.world.clusters[cluster].databases["fly-db"]["extensions"]
            found.extensions = {name: str(value.get("version")) for name, value in of_fly.items()}
        return found

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return next((self.home / "state").rglob(FILE))

    def journal_state(self) -> JournalState:
        """What the journal says; empty without one."""
        found = list((self.home / "state").rglob(FILE))
        return read_state(found[0]) if found else JournalState()

    def changing(self) -> list[str]:
        """Changing requests that were committed."""
        return [f"{r.method} {r.path}" for r in self.world.changes()]


class InProcessBackstage(RealBackstage):
    """The world behind a session, without processes and sockets."""

    def __init__(self, platform: Platform, life: Life) -> None:
        vault = LayeredVault(EnvironmentVault(platform.environ), platform.keyring)
        super().__init__(
            platform.root,
            platform.environ,
            rehearsal=True,
            stand_ins=stand_ins(),
            vault=vault,
            kafka=WillingKafka(),
        )
        self._platform, self._life = platform, life

    def now(self) -> float:
        return self._platform.clock.now()

    async def _run(self, command: Command) -> Ended:
        return await run_command(self._platform, command, None, lambda *_: None, self._life.check)

    async def prerequisites(
        self, on_check: OnCheck, project: str = "flywizard", folder: Path | None = None
    ) -> None:
        on_check(Check("flyctl", "flyctl", "ok", "the stand-in"))

    async def git(self) -> GitState:
        return GitState("abc1234", "main", ())

    def ports(self, folder: Path, vault: LayeredVault, mask: Callable[[], Iterable[str]]) -> Ports:
        platform, life = self._platform, self._life
        transport = ApiTransport(platform, life.check)
        self._look = FlyHttp(
            self.token,
            environ=platform.environ,
            clock=platform.clock,
            transport=transport,
            jitter=lambda: 0.5,
        )
        ports_of: dict[int, str] = {}
        return Ports(
            fly=KeptFly(platform, life),
            look=self._look,
            database=MemoryDatabase(platform, life, ports_of),
            tunnel=MemoryTunnel(platform, life, ports_of),
            kafka=self.kafka(),
            web=PublicWeb(transport=transport),
            files=RepositoryFiles(self.root, folder / "backup"),
            vault=vault,
            clock=platform.clock,
        )


@dataclass(slots=True)
class Run:
    """One wizard's work, from its answers to its end."""

    session: Session
    outcome: Outcome | None = None
    """None: it was killed."""
    events: list[Event] = field(default_factory=list)
    changes: int = -1
    blocked: str = ""

    @property
    def problem(self) -> Problem | None:
        """The problem it stopped at."""
        return self.session.state.problem

    @property
    def failed(self) -> dict[str, Problem]:
        """The problem of each step that failed."""
        return {e.step: e.problem for e in self.events if isinstance(e, StepFailed)}


async def deploy(
    platform: Platform,
    flags: Mapping[str, str] | None = None,
    *,
    resume: bool = False,
    secrets: Mapping[str, Secret] | None = None,
    before_run: Callable[[], None] = lambda: None,
) -> Run:
    """Start a wizard, answer, review, run; a kill ends it wherever it is. ``before_run`` is called after the Review."""
    life = platform.life = Life()
    run = Run(Session(InProcessBackstage(platform, life), flags=flags, secrets=secrets))
    platform.session = run.session

    async def drive() -> None:
        session = run.session
        await session.prepare()
        if not resume:
            view = await session.review()
            run.changes, run.blocked = view.changes, view.blocked
            if view.blocked:
                return
        before_run()
        run.outcome = await session.run(run.events.append, resume=resume)

    life.task = asyncio.create_task(drive(), name="wizard")
    try:
        await life.task
    except BaseException:
        if not life.dead:
            raise
        run.outcome = None
    finally:
        await run.session.close()
    return run


def normalised(world: World) -> dict[str, Any]:
    """Return what stands, without ids, times and how often it took."""
    now = EPOCH + asyncio.get_running_loop().time()
    from flywizard.rehearsal.world_machines import phase

    return {
        "apps": {
            a.name: [
                a.org, a.status,
                {n: s["digest"] for n, s in sorted(a.secrets.items())},
                sorted(x["type"] for x in a.addresses),
            ]
            for a in world.apps.values()
        },
        "clusters": sorted([c.name, c.org, c.plan, c.disk, c.version, c.databases] for c in world.clusters.values()),
        "images": sorted([i.ref, i.digest, sorted(i.args.items())] for i in world.images.values()),
        "volumes": sorted([v.name, v.app] for v in world.volumes.values() if not v.destroyed),
        "machines": sorted(
            [
                m.app, m.group, m.region, phase(m, now), m.config.get("image"),
                sorted((m.config.get("env") or {}).items()), m.config.get("init"), m.config.get("services"),
                m.config.get("guest"), m.secrets_version == world.apps[m.app].secrets_version,
            ]
            for m in world.machines.values()
            if phase(m, now) != "destroyed"
        ),
        "newest": {
            a: [world.releases_of(a)[0].status, world.releases_of(a)[0].image_ref]
            for a in sorted(world.apps) if world.releases_of(a)
        },
    }  # fmt: skip


COUNTED = ("app", "cluster", "machine", "volume", "address", "image")


def counts(platform: Platform) -> dict[str, int]:
    """Return how many things exist by the World's own count, and how many were ever made."""
    made = {f"{k} made": platform.world.counters.get(k, 0) for k in ("app", "cluster", "machine")}
    applied = {"schema applied": sum(t.applied for t in platform.databases.values())}
    return {kind: platform.world.count(kind) for kind in COUNTED} | made | applied


def install(monkeypatch: pytest.MonkeyPatch, platforms: Sequence[Platform]) -> None:
    """Make a wizard in this process fast and the same in each run; its journal calls the platform's hooks."""

    async def inline(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    append = Journal.append

    def watched(self: Journal, kind: str, **fields: Any) -> None:
        platform = next(p for p in platforms if self.path.is_relative_to(p.home))
        platform.life.check()
        platform.appends += 1
        number = platform.appends
        platform.on_append(number, False)
        append(self, kind, **fields)
        platform.on_append(number, True)

    monkeypatch.setattr(asyncio, "to_thread", inline)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(Journal, "append", watched)
    monkeypatch.setattr("flywizard.rehearsal.fly.Fly", seeded)
    random.seed(7)


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """Stand in a folder, as a child does."""
    import os

    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


def make_platform(home: Path, *, source: Path = EXAMPLE, guard: bool = True, **environ: str) -> Platform:
    """Make a platform with a copy of a repository."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    root = home / "repository" / source.name
    copy_repository(source, root)
    fixed = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "FLY_API_TOKEN": TOKEN,
        "FLY_API_BASE_URL": "http://fly.test",
        "FLY_FLAPS_BASE_URL": "http://fly.test",
        "FLY_UIEX_BASE_URL": "http://fly.test",
        "FLY_CONFIG_DIR": str(home / "fly"),
        "FLYWIZARD_STATE_DIR": str(home / "state"),
    }
    return Platform(root, home, fixed | environ, guard=guard)


def play(platform: Platform, scene: Callable[[], Any]) -> Any:
    """Run a coroutine function in virtual time, standing in the repository."""
    with inside(platform.root):
        return run_virtual(scene())


@dataclass(slots=True)
class Front:
    """What a front without a screen left: its exit code and its lines."""

    code: int
    out: list[str]
    err: list[str]
    session: Session


async def through_front(
    platform: Platform,
    flags: Mapping[str, str] | None = None,
    *,
    as_json: bool = False,
    secrets: Mapping[str, Secret] | None = None,
) -> Front:
    """Deploy by the plain or the JSON front, as ``flywizard apply --yes --no-input`` does."""
    life = platform.life = Life()
    session = Session(InProcessBackstage(platform, life), flags=flags, secrets=secrets)
    done = Front(0, [], [], session)
    front = PlainFront(
        session, out=done.out.append, err=done.err.append, now=platform.clock.now,
        monotonic=platform.clock.monotonic, run=session.run_id, as_json=as_json, yes=True,
    )  # fmt: skip
    try:
        done.code = await front.prepare() or await front.deploy()
    finally:
        await session.close()
    return done
