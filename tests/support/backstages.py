"""Owns a world behind a session that is all in memory: an account, a keyring with moods, and no Fly to change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from flywizard.backstage import GitState, StandIns
from flywizard.draft import Account, RegionChoice
from flywizard.events import Problem
from flywizard.fronts import Check, OnCheck
from flywizard.plan import StepError
from flywizard.ports import Kafka, Ports
from flywizard.vault import EnvironmentVault, LayeredVault, MemoryVault, Secret, VaultError

ACCOUNT = Account(
    "you@example.com", "flyctl's login", {"personal": "You", "acme": "Acme Inc"},
    (RegionChoice("iad", "Ashburn", True), RegionChoice("jnb", "Johannesburg", False)),
)  # fmt: skip
GOOD_TOKEN = "FlyV1 fm2_good"
EPOCH = 1_767_225_600.0


class Keyring(MemoryVault):
    """A keyring that works."""

    place = "Secret Service"


class _Look:
    async def app(self, name: str) -> str | Mapping[str, Any]:
        return {"taken": "foreign", "mine": {"organization": {"slug": "acme"}}}.get(name, "absent")  # type: ignore[return-value]

    async def secrets(self, app: str) -> Mapping[str, str]:
        return {}


class FakeBackstage:
    """Implements ``Backstage``."""

    speed = 1.0
    rehearsal = False
    resume_command = "flywizard resume"

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = self.project_root = root
        self.environ = environ
        self.stand_ins: StandIns | None = None
        self.signed_in = True
        self.token: Secret | None = None
        self.refused: VaultError | None = None
        self.keyrings: dict[str, Keyring] = {}
        self.opened: list[str] = []

    def public(self, url: str, health: str) -> str:
        return url

    def now(self) -> float:
        return EPOCH

    async def prerequisites(
        self, on_check: OnCheck, project: str = "flywizard", folder: Path | None = None
    ) -> None:
        on_check(Check("git", "git", "ok", project))

    async def install_flyctl(self, on_line: Callable[[str], None]) -> str:
        return "no"

    async def login(self) -> None:
        self.signed_in = True

    async def use_token(self, token: Secret | None) -> None:
        self.token = token

    async def account(self) -> Account:
        if self.token is not None and self.token.reveal() != GOOD_TOKEN:
            raise StepError(Problem("AUTH-1", "the token is refused", "it is not one of Fly's"))
        if not self.signed_in and self.token is None:
            raise StepError(Problem("AUTH-2", "nobody is signed in", "there is no token"))
        return ACCOUNT

    async def git(self) -> GitState:
        return GitState("4f2c1ab", "main")

    async def vault(self, project: str, folder: Path) -> LayeredVault:
        self.opened.append(project)
        if self.refused is not None:
            return LayeredVault(EnvironmentVault(self.environ), None, self.refused)
        return LayeredVault(EnvironmentVault(self.environ), self.keyrings.setdefault(project, Keyring()))

    def ports(self, folder: Path, vault: LayeredVault, mask: Callable[[], Iterable[str]]) -> Ports:
        nothing = cast("Any", None)
        return Ports(
            nothing, cast("Any", _Look()), nothing, nothing, nothing, nothing, nothing, vault, nothing
        )

    def kafka(self) -> Kafka:
        raise NotImplementedError

    async def close(self) -> None:
        return


Mood = Literal["good", "absent"]
