"""Owns the world behind a session: adapters made from an environment, each when it is first needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flywizard.backstage import GitState, StandIns
from flywizard.draft import Account, RegionChoice
from flywizard.events import Problem, Remedy, StepError
from flywizard.fronts import OnCheck
from flywizard.vault import LayeredVault, Secret

if TYPE_CHECKING:
    from flywizard.adapters.fly_http import FlyHttp
    from flywizard.adapters.web import Edge
    from flywizard.plan import Command
    from flywizard.ports import Ended, Kafka, Ports

T = TypeVar("T")
TOKEN = "FLY_API_TOKEN"  # noqa: S105 - a variable's name
ACCOUNT_LIMIT = 30.0
NO_FLYCTL = "/flyctl-is-missing"
REHEARSAL_PACE = 0.05
"""The guard's patience in a rehearsal, as a part of the real one: a simulated fault is settled in seconds."""


def another_fly(environ: Mapping[str, str]) -> str:
    """Return where the Machines API is when that is not Fly's own; empty: it is."""
    from urllib.parse import urlsplit

    url = environ.get("FLY_FLAPS_BASE_URL", "")
    host = urlsplit(url).hostname or ""
    own = host in ("", "api.machines.dev", "_api.internal") or host.endswith((".fly.io", ".fly.dev"))
    return "" if own else url


class RealBackstage:
    """Fly.io, or whatever the environment names in its place."""

    def __init__(
        self,
        root: Path,
        environ: Mapping[str, str],
        *,
        project_root: Path | None = None,
        rehearsal: bool = False,
        speed: float = 1.0,
        stand_ins: StandIns | None = None,
        edge: Edge | None = None,
        public: Callable[[str, str], str] | None = None,
        resume_command: str = "flywizard resume",
        kafka: Kafka | None = None,
        vault: LayeredVault | None = None,
    ) -> None:
        """Take the repository and the environment; a rehearsal passes its own of everything."""
        self.root = root
        self.project_root = project_root or root
        self.environ = environ
        self.rehearsal = rehearsal
        self.speed = speed
        self.stand_ins = stand_ins
        self._edge = edge
        self._public = public
        self.resume_command = resume_command
        self._kafka = kafka
        self._vault = vault
        self._opened: tuple[str, LayeredVault] | None = None
        self._typed: Secret | None = None
        self._look: FlyHttp | None = None
        self._found_token: Secret | None = None

    def public(self, url: str, health: str) -> str:
        """Return where a service is to be opened."""
        return url if self._public is None else self._public(url, health)

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def executable(self) -> Path:
        """Return flyctl.

        Raises:
            StepError: there is none.
        """
        from flywizard import problems
        from flywizard.adapters.flyctl_install import find_flyctl

        found = find_flyctl(self.environ)
        if found is None:
            raise StepError(problems.problem("FLYCTL-MISSING"))
        return found

    def _child(self) -> dict[str, str]:
        from flywizard.adapters.process import child_environment

        env = child_environment(self.environ)
        if self._typed is not None:
            env.pop("FLY_ACCESS_TOKEN", None)  # it would win over ours
            env[TOKEN] = self._typed.reveal()
        return env

    async def _run(self, command: Command) -> Ended:
        from flywizard.adapters.process import run_child

        argv = (str(self.executable()), *command.argv[1:])
        return await run_child(argv, cwd=self.root, env=self._child(), timeout=ACCOUNT_LIMIT)

    async def prerequisites(
        self, on_check: OnCheck, project: str = "flywizard", folder: Path | None = None
    ) -> None:
        """Run all checks, all at once; the keyring that they open is the one that is used."""
        from dataclasses import replace

        from flywizard.adapters.prerequisites import Prerequisites, Surroundings

        around = Surroundings(self.environ, project=project, state=folder)
        if self._vault is not None:
            fixed = self._vault

            async def given(project: str, folder: Path, environ: Mapping[str, str]) -> LayeredVault:
                return fixed

            around = replace(around, vault=given)
        checks = Prerequisites(around, wireguard_needed=not self.rehearsal)
        await checks.run(on_check)
        if checks.vault is not None and folder is not None:
            self._opened = (project, checks.vault)

    async def install_flyctl(self, on_line: Callable[[str], None]) -> str:
        """Run the official script."""
        from flywizard.adapters.flyctl_install import install_flyctl

        done = await install_flyctl(on_line, self.environ)
        return "" if done.ok else f"{done.text}. {done.fix}"

    async def login(self) -> None:
        """Run ``fly auth login`` on the terminal."""
        from flywizard import problems
        from flywizard.flyctl import commands

        command = commands.auth_login()
        process = await asyncio.create_subprocess_exec(
            str(self.executable()), *command.argv[1:], cwd=self.root, env=self._child()
        )
        code = await process.wait()
        if code != 0:
            raise StepError(problems.problem("AUTH-4"))

    async def use_token(self, token: Secret | None) -> None:
        """Use a token from now on; None: no longer."""
        self._typed = token
        self._found_token = None

    async def token(self) -> Secret | None:
        """Return the token that flyctl would use: typed, the environment's, else its own."""
        from flywizard.flyctl import commands, decode

        if self._typed is not None:
            return self._typed
        for name in ("FLY_ACCESS_TOKEN", TOKEN):
            if self.environ.get(name):
                return Secret(self.environ[name])
        if self._found_token is None:
            ended = await self._run(commands.auth_token())
            if ended.code != 0:
                return None
            try:
                self._found_token = decode.token(ended.stdout)
            except decode.DecodeError:
                return None
        return self._found_token

    def _how(self) -> str:
        if self._typed is not None:
            return "a token you entered"
        for name in ("FLY_ACCESS_TOKEN", TOKEN):
            if self.environ.get(name):
                return f"the token in `{name}`"
        return "flyctl's login"

    async def account(self) -> Account:
        """Ask who is signed in, and for the account's organisations and regions.

        Raises:
            StepError: nobody is signed in, the token is refused, or Fly cannot be reached.
        """
        from flywizard.flyctl import commands, decode

        who = await self._answer(commands.whoami(), "signin")
        email = self._decoded(decode.whoami, who, "fly auth whoami")
        orgs, regions = await asyncio.gather(
            self._answer(commands.orgs(), "signin"), self._answer(commands.regions(), "signin")
        )
        found = self._decoded(decode.regions, regions, "fly platform regions")
        return Account(
            email,
            self._how(),
            self._decoded(decode.orgs, orgs, "fly orgs list"),
            tuple(RegionChoice(r.code, r.name, r.mpg_available) for r in found),
            self._besides(),
        )

    def _besides(self) -> str:
        """Name what could sign in too: a token hides the login, and a narrow one hides apps from every list."""
        given = [name for name in ("FLY_ACCESS_TOKEN", TOKEN) if self.environ.get(name)]
        if self._typed is not None:
            names = " and ".join(f"`{name}`" for name in given)
            return f"{names} in the environment is not used: the token you entered is" if given else ""
        if not given:
            return ""
        notes = []
        if len(given) == 2:
            notes.append(f"`{given[0]}` and `{given[1]}` are both set; flyctl uses the first")
        if self._has_login():
            notes.append(
                f"flyctl is signed in too, and `{given[0]}` wins: unset it to use that login. "
                "A token made for one app or organisation sees only that one"
            )
        return "; ".join(notes)

    def _has_login(self) -> bool:
        folder = self.environ.get("FLY_CONFIG_DIR") or str(Path(self.environ.get("HOME", "/")) / ".fly")
        try:
            text = (Path(folder) / "config.yml").read_text("utf-8", "replace")
        except OSError:
            return False
        lines = (line.partition(":") for line in text.splitlines())
        return any(key == "access_token" and value.strip().strip("\"'") for key, _, value in lines)

    async def _answer(self, command: Command, stage: str) -> str:
        from flywizard import problems
        from flywizard.flyctl.verdict import reading

        try:
            ended = await self._run(command)
        except OSError as error:
            raise StepError(problems.problem("FLYCTL-MISSING")) from error
        verdict = reading(ended, changes=False)
        if verdict.kind == "done":
            return ended.stdout
        facts = {"command": command.shown()}
        if ended.timed_out:
            raise StepError(
                Problem(
                    "FLYCTL-HANGS",
                    f"`{command.shown()}` did not answer within {ACCOUNT_LIMIT:.0f} s",
                    "Fly's API or the network is slow, or flyctl hangs.",
                    (Remedy("retry", "Try again"), Remedy("quit", "Stop here and resume later")),
                )
            )
        raise StepError(
            problems.diagnose(stage, verdict.text or ended.stderr, exit_code=ended.code, facts=facts)
        )

    @staticmethod
    def _decoded(decoder: Callable[[str], T], text: str, command: str) -> T:
        from flywizard import problems
        from flywizard.flyctl import decode

        try:
            return decoder(text)
        except decode.DecodeError as error:
            raise StepError(problems.problem("DECODE", command=command, why=str(error))) from None

    async def git(self) -> GitState:
        """Ask git, within its limit."""
        from flywizard.adapters.gitinfo import git_info

        found = await git_info(self.project_root, self.environ)
        return GitState(found.commit[:7], found.branch, found.changed)

    async def vault(self, project: str, folder: Path) -> LayeredVault:
        """Open the places where values are kept; a typed token that is kept there is used."""
        if self._vault is not None:
            return self._vault
        if self._opened is None or self._opened[0] != project:
            from flywizard.adapters.keyring_store import open_vault

            self._opened = (project, await open_vault(project, folder, self.environ))
        return self._opened[1]

    def ports(self, folder: Path, vault: LayeredVault, mask: Callable[[], Iterable[str]]) -> Ports:
        """Make the doors of a run."""
        from flywizard.adapters.files import RepositoryFiles
        from flywizard.adapters.fly import FlyRunner
        from flywizard.adapters.fly_http import FlyHttp, SystemClock
        from flywizard.adapters.postgres import Postgres
        from flywizard.adapters.web import PublicWeb
        from flywizard.ports import Ports
        from flywizard.state_folder import private_folder

        runs = private_folder(folder / "runs")
        self._look = self._look or FlyHttp(self.token, environ=self.environ)
        try:
            executable = self.executable()
        except StepError:
            executable = Path(NO_FLYCTL)  # what needs it says so; the proofs of broker and database do not
        return Ports(
            fly=FlyRunner(
                executable,
                self.root,
                runs,
                self.environ,
                mask,
                self._typed,
                pace=REHEARSAL_PACE if self.rehearsal else 1.0,
            ),
            look=self._look,
            database=Postgres(),
            tunnel=_LazyTunnel(executable, self._child(), self.root),
            kafka=self.kafka(),
            web=PublicWeb(edge=self._edge, api=another_fly(self.environ)),
            files=RepositoryFiles(self.root, folder / "backup"),
            vault=vault,
            clock=SystemClock(),
        )

    def kafka(self) -> Kafka:
        """Return the door to brokers."""
        if self._kafka is None:
            from flywizard.adapters.kafka import KafkaProof

            self._kafka = KafkaProof()
        return self._kafka

    async def close(self) -> None:
        """Close the connections."""
        if self._look is not None:
            await self._look.aclose()


class _LazyTunnel:
    """Opens the tunnel's adapter when a step asks for it."""

    def __init__(self, executable: Path, env: Mapping[str, str], root: Path) -> None:
        self._arguments = (executable, env, root)

    def open(self, cluster: str) -> AbstractAsyncContextManager[tuple[str, int]]:
        from flywizard.adapters.tunnel import FlyTunnel

        return FlyTunnel(*self._arguments).open(cluster)
