"""Owns the border between the headless wizard and the world behind it: what a session needs besides the ports.

``adapters/backstage.py`` is the real one; the rehearsal passes it another environment, tests another object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flywizard.draft import Account
from flywizard.fronts import OnCheck
from flywizard.vault import LayeredVault, Secret

if TYPE_CHECKING:
    from flywizard.ports import Kafka, Ports


@dataclass(frozen=True, slots=True)
class GitState:
    """What git says of the work tree."""

    commit: str = ""
    """Short id; empty without a repository."""
    branch: str = ""
    dirty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandIns:
    """A rehearsal's answers for what only the user can know; every value is marked as a stand-in."""

    answers: Mapping[str, str] = field(default_factory=dict)
    """Question id to value."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """``broker.username``, ``broker.password``; other names get :meth:`secret`."""

    def secret(self, name: str) -> Secret:
        """Return the stand-in value of a variable: the same in each run."""
        return self.secrets.get(name) or Secret(f"rehearsal-stand-in-for-{name.lower().replace('_', '-')}")


class Backstage(Protocol):
    """Everything outside, made when it is first needed."""

    root: Path
    environ: Mapping[str, str]
    rehearsal: bool
    speed: float
    stand_ins: StandIns | None
    resume_command: str
    """What goes on with a stopped run."""
    project_root: Path
    """The user's own repository: what the state folder records (a rehearsal works on a copy)."""

    def public(self, url: str, health: str) -> str:
        """Return where a service is to be opened: its public address, or the rehearsal's loopback one."""
        ...

    def now(self) -> float:
        """Return Unix seconds."""
        ...

    async def prerequisites(
        self, on_check: OnCheck, project: str = "flywizard", folder: Path | None = None
    ) -> None:
        """Run all checks of a deployment's needs, all at once; ``folder`` is the project's state folder."""
        ...

    async def install_flyctl(self, on_line: Callable[[str], None]) -> str:
        """Run the official install script; return what went wrong, or empty."""
        ...

    async def login(self) -> None:
        """Run ``fly auth login`` on the terminal that was handed over. Raises StepError."""
        ...

    async def use_token(self, token: Secret | None) -> None:
        """Use a token the user typed from now on; None: no longer."""
        ...

    async def account(self) -> Account:
        """Return who is signed in, with the organisations and regions. Raises StepError."""
        ...

    async def git(self) -> GitState:
        """Return the commit, the branch and what is not committed."""
        ...

    async def vault(self, project: str, folder: Path) -> LayeredVault:
        """Open the places where values are kept."""
        ...

    def ports(self, folder: Path, vault: LayeredVault, mask: Callable[[], Iterable[str]]) -> Ports:
        """Return the doors of a run; ``folder`` is the project's state folder."""
        ...

    def kafka(self) -> Kafka:
        """Return the door to brokers."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
