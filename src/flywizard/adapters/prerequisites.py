"""Owns the prerequisites: every check, all at once, none hides another, each with its limit and its fix."""

from __future__ import annotations

import asyncio
import os
import platform as platform_module
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeAlias

from flywizard.adapters.deadline import off_loop
from flywizard.adapters.flyctl_install import (
    SHOWN,
    WINDOWS,
    Installed,
    find_flyctl,
    install_flyctl,
)
from flywizard.adapters.keyring_store import open_vault
from flywizard.adapters.process import child_environment, run_child
from flywizard.adapters.reachability import get_head, host_of, udp_route, unreachable
from flywizard.flyctl import decode
from flywizard.fronts import Check, CheckState
from flywizard.state_folder import private_folder, state_root
from flywizard.text import Redactor, duration, shorten_home
from flywizard.vault import LayeredVault

__all__ = [
    "MINIMUM",
    "TITLES",
    "Installed",
    "Prerequisites",
    "Surroundings",
    "find_flyctl",
    "install_flyctl",
]

MINIMUM = (0, 4, 80)
"""Oldest flyctl whose output and flags flywizard knows; recorded with 0.4.87."""
API = "https://api.fly.io"
FLAPS = "https://api.machines.dev"
SKEW = 300.0
"""Seconds by which the clock may be off: tokens carry times."""
ROOM = (50_000_000, 500_000_000)
"""Bytes on the state directory's disk: fewer fail, fewer warn."""
LIMITS: Mapping[str, float] = {
    "flyctl": 10.0,
    "git": 5.0,
    "keyring": 15.0,
    "api": 10.0,
    "clock": 11.0,
    "wireguard": 3.0,
}
TITLES: Mapping[str, str] = {
    "flyctl": "flyctl",
    "api": "Fly's API",
    "clock": "Clock",
    "keyring": "Keyring",
    "git": "git",
    "wireguard": "WireGuard",
    "python": "Python",
    "state": "State directory",
}
WIREGUARD_VARIABLE = "FLYWIZARD_WIREGUARD"
"""``ok`` or ``blocked``: what the user knows of the network."""

OnCheck: TypeAlias = Callable[[Check], None]
Get: TypeAlias = Callable[[str, float], Awaitable[tuple[int, Mapping[str, str]]]]
"""(url, limit in seconds) → (status, headers in lower case); raises OSError."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks look at; tests put other things in."""

    environ: Mapping[str, str]
    project: str = "flywizard"
    state: Path | None = None
    """The project's state folder; None: the folder of all projects."""
    platform: str = sys.platform
    python: tuple[int, int, int] = field(default_factory=lambda: (*sys.version_info[:3],))
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    get: Get = get_head
    route: Callable[[str, int], None] = udp_route
    vault: Callable[[str, Path, Mapping[str, str]], Awaitable[LayeredVault]] = open_vault
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)
    free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free

    @property
    def folder(self) -> Path:
        """Return where state is kept."""
        return self.state or state_root(self.environ)


@dataclass(frozen=True, slots=True)
class Found:
    """What one check found."""

    state: CheckState
    text: str
    fix: str = ""
    action: str = ""


class Prerequisites:
    """All checks of one machine. After :meth:`run`, ``flyctl`` and ``vault`` hold what was found."""

    def __init__(self, around: Surroundings, *, wireguard_needed: bool = False) -> None:
        """Take the surroundings; ``wireguard_needed``: the plan opens a tunnel to the database."""
        self._around = around
        self._wireguard_needed = wireguard_needed
        self._redactor = Redactor()
        self.flyctl: Path | None = None
        self.vault: LayeredVault | None = None
        self._answer: asyncio.Task[tuple[int, Mapping[str, str]]] | None = None

    async def run(self, on_check: OnCheck) -> tuple[Check, ...]:
        """Run all checks at once; report each as it starts and ends; return them in display order."""
        kinds: dict[str, Callable[[], Awaitable[Found]]] = {
            "flyctl": self._flyctl,
            "api": self._api,
            "clock": self._clock,
            "keyring": self._keyring,
            "git": self._git,
            "wireguard": self._wireguard,
            "python": self._python,
            "state": self._state,
        }
        base = self._around.environ.get("FLY_API_BASE_URL") or API
        self._answer = asyncio.ensure_future(self._around.get(base, self._limit("api")))
        try:
            return tuple(await asyncio.gather(*(self._one(key, kinds[key], on_check) for key in TITLES)))
        finally:
            self._answer.cancel()
            await asyncio.gather(self._answer, return_exceptions=True)

    def _limit(self, key: str) -> float:
        return self._around.limits.get(key, 10.0)

    async def _one(self, key: str, look: Callable[[], Awaitable[Found]], on_check: OnCheck) -> Check:
        started = self._around.monotonic()
        on_check(Check(key, TITLES[key], "running"))
        try:
            async with asyncio.timeout(self._limit(key) + 1):
                found = await look()
        except TimeoutError:
            found = Found("failed", f"The check did not end within {self._limit(key) + 1:g} s", "Check again")
        except Exception as error:  # a broken check must not take the others with it
            found = Found("failed", f"The check itself failed ({type(error).__name__})", "Check again")
        seconds = max(0.0, self._around.monotonic() - started)
        home = self._around.environ.get("HOME")
        text, fix = (shorten_home(self._redactor.line(words), home) for words in (found.text, found.fix))
        check = Check(key, TITLES[key], found.state, text, fix, found.action, seconds)
        on_check(check)
        return check

    async def _flyctl(self) -> Found:
        around = self._around
        windows = around.platform == "win32"
        fix = f"Run `{WINDOWS}`" if windows else f"Run `{SHOWN}`"
        action = "" if windows else "install-flyctl"
        minimum = ".".join(map(str, MINIMUM))
        path = find_flyctl(around.environ, platform=around.platform)
        if path is None:
            return Found("failed", "Not found in its install places or on PATH", fix, action)
        where = f"`{path}`"
        environment = child_environment(around.environ)
        try:
            ended = await run_child(
                [str(path), "version", "--json"],
                cwd=Path.cwd(),
                env=environment,
                timeout=self._limit("flyctl"),
            )
        except OSError as error:
            return Found(
                "failed", f"{where} cannot be started ({error.strerror})", f"{fix} to replace it", action
            )
        if ended.timed_out:
            text = f"{where} did not answer within {duration(self._limit('flyctl'))}"
            return Found(
                "failed", text, f"End hanging `flyctl` processes; if that does not help: {fix}", action
            )
        said = next(
            (line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()), ""
        )
        if ended.code != 0:
            code = ended.code or 0
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
            return Found(
                "failed", f"{where} {how}{f': {said[:200]}' if said else ''}", f"{fix} to replace it", action
            )
        try:
            version = decode.version(ended.stdout)
        except decode.DecodeError:
            text = f"{where} printed something that is no version; it may be another program called `{path.stem}`"
            return Found("failed", text, fix, action)
        if version.numbers < MINIMUM:
            text = f"{where} is version {version.text}; flywizard needs {minimum} or later"
            return Found("failed", text, f"{fix} to update it", action)
        self.flyctl = path
        return Found("ok", f"{version.text} at {where}")

    async def _git(self) -> Found:
        around = self._around
        fix = {"darwin": "Run `xcode-select --install`", "win32": "Run `winget install Git.Git`"}.get(
            around.platform, "Install `git` with your package manager"
        )
        try:
            ended = await run_child(
                ["git", "--version"],
                cwd=Path.cwd(),
                env=child_environment(around.environ),
                timeout=self._limit("git"),
            )
        except OSError:
            return Found("warn", "Not found; releases will not be labelled with their commit", fix)
        if ended.timed_out or ended.code != 0:
            return Found("warn", "Does not work; releases will not be labelled with their commit", fix)
        return Found("ok", ended.stdout.strip().removeprefix("git version ").partition("\n")[0])

    async def _keyring(self) -> Found:
        around = self._around
        self.vault = await around.vault(around.project, around.folder, around.environ)
        refused = self.vault.refused
        if refused is None:
            return Found("ok", f"{self.vault.place}: a test value was written, read and deleted")
        text = (
            f"{refused.text}. Values come from `FLYWIZARD_SECRET_<NAME>` or `--secret`, or are kept in memory "
            "for this run only, when you say so (`--keep-secrets memory`); never in plain text"
        )
        return Found("warn", text, refused.fix, "use-memory")

    async def _api(self) -> Found:
        around = self._around
        flaps = around.environ.get("FLY_FLAPS_BASE_URL") or FLAPS
        base = around.environ.get("FLY_API_BASE_URL") or API
        hosts = {base: self._first()}
        if flaps != base:
            hosts[flaps] = self._asked(flaps)
        answers = dict(zip(hosts, await asyncio.gather(*hosts.values()), strict=True))
        for host, answer in answers.items():
            if isinstance(answer, OSError):
                return Found("failed", *unreachable(host_of(host), str(answer)))
        for host, answer in answers.items():
            if not isinstance(answer, OSError) and answer[0] >= 500:
                text = f"`{host_of(host)}` answers with HTTP status {answer[0]}"
                return Found("warn", text, "See `https://status.flyio.net`, then check again")
            if not isinstance(answer, OSError) and answer[0] == 407:
                return Found(
                    "failed", "The proxy asks for a sign-in", "Put user and password into `HTTPS_PROXY`"
                )
        return Found("ok", " and ".join(f"`{host_of(host)}`" for host in answers) + " answered")

    async def _first(self) -> tuple[int, Mapping[str, str]] | OSError:
        assert self._answer is not None  # noqa: S101 - run() made it
        try:
            return await asyncio.shield(self._answer)
        except OSError as error:
            return error

    async def _asked(self, url: str) -> tuple[int, Mapping[str, str]] | OSError:
        try:
            return await self._around.get(url, self._limit("api"))
        except OSError as error:
            return error

    async def _clock(self) -> Found:
        answer = await self._first()
        date = "" if isinstance(answer, OSError) else answer[1].get("date", "")
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return Found("skipped", "Known only when Fly's API answers")
        off = self._around.now() - theirs
        if abs(off) <= SKEW:
            return Found("ok", f"within {duration(max(1.0, abs(off)))} of Fly's")
        way = "ahead of" if off > 0 else "behind"
        fix = {"darwin": "Run `sudo sntp -sS time.apple.com`", "win32": "Run `w32tm /resync`"}.get(
            self._around.platform, "Run `sudo timedatectl set-ntp true`"
        )
        return Found(
            "failed", f"{duration(abs(off))} {way} Fly's; sign-ins and certificates will be refused", fix
        )

    async def _wireguard(self) -> Found:
        fix = "Run `fly wireguard websockets enable`: the tunnel then goes through HTTPS"
        known = self._around.environ.get(WIREGUARD_VARIABLE, "")
        need = (
            "the database's tunnel needs it"
            if self._wireguard_needed
            else "needed only for a tunnel to the database"
        )
        if self._websockets():
            return Found("ok", "The tunnel goes through HTTPS (websockets are enabled in flyctl)")
        if known == "ok":
            return Found("ok", f"Not blocked, says `{WIREGUARD_VARIABLE}`")
        if known == "blocked":
            return Found("warn", f"This network blocks it, says `{WIREGUARD_VARIABLE}`; {need}", fix)
        try:
            self._around.route("1.1.1.1", 51820)
        except OSError as error:
            text = f"This network has no way for its UDP packets ({error.strerror or error}); {need}"
            return Found("warn", text, fix)
        return Found(
            "skipped", f"UDP port 51820 can be blocked unseen: known only when a tunnel is tried; {need}"
        )

    def _websockets(self) -> bool:
        environ = self._around.environ
        folder = environ.get("FLY_CONFIG_DIR") or os.path.join(environ.get("HOME", ""), ".fly")
        try:
            with open(os.path.join(folder, "config.yml"), encoding="utf-8", errors="replace") as file:
                return any(line.split() == ["wire_guard_websockets:", "true"] for line in file)
        except OSError:
            return False

    async def _python(self) -> Found:
        text = ".".join(map(str, self._around.python)) + f" ({platform_module.python_implementation()})"
        if self._around.python < (3, 11):
            return Found("failed", f"{text}; flywizard needs 3.11 or later", "Install Python 3.11 or later")
        return Found("ok", text)

    async def _state(self) -> Found:
        folder = self._around.folder
        where = f"`{folder}`"

        def look() -> int:
            private_folder(folder)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"flywizard")
                file.flush()
                os.fsync(file.fileno())
            return self._around.free(folder)

        try:
            free = await off_loop(self._limit("state"), look)
        except OSError as error:
            fix = "Make it writable for you alone, or set `FLYWIZARD_STATE_DIR` to another folder"
            return Found("failed", f"{where} cannot be used: {error.strerror or error}", fix)
        room = f"{free / 1e9:.1f} GB free"
        if free < ROOM[0]:
            return Found(
                "failed", f"{where} is writable, but only {free // 1_000_000} MB are free", "Free some space"
            )
        if free < ROOM[1]:
            return Found("warn", f"{where} is writable, {room}", "Free some space before a large build")
        return Found("ok", f"{where} is writable, {room}")
