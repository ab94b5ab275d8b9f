"""Owns where flyctl is and how it gets there: its install places, PATH, the official script."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flywizard.adapters.deadline import off_loop
from flywizard.adapters.process import child_environment, run_child
from flywizard.text import Redactor

NAMES = ("flyctl", "fly")
SCRIPT = "https://fly.io/install.sh"
SCRIPT_VARIABLE = "FLYWIZARD_INSTALL_SCRIPT"
"""A local script instead of the official one, for tests and mirrors."""
SHOWN = f"curl -L {SCRIPT} | sh"
"""The command as users know it; it is run as two processes, the second only after the first ended well."""
WINDOWS = 'pwsh -Command "iwr https://fly.io/install.ps1 -useb | iex"'
LIMIT = 300.0


def install_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the ``bin`` folder that the official script fills."""
    if environ.get("FLYCTL_INSTALL"):
        return Path(environ["FLYCTL_INSTALL"]) / "bin"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".fly" / "bin" if home else None


def find_flyctl(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path | None:
    """Return flyctl's executable, or None.

    Looks in ``$FLYCTL_INSTALL/bin``, then ``~/.fly/bin``, then PATH; in each for ``flyctl`` before ``fly``,
    a name that other programs bear too.
    """
    folders = []
    if environ.get("FLYCTL_INSTALL"):
        folders.append(str(Path(environ["FLYCTL_INSTALL"]) / "bin"))
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home:
        folders.append(str(Path(home) / ".fly" / "bin"))
    suffixes = (".exe", "") if platform == "win32" else ("",)
    for folder in folders:
        for name in NAMES:
            for suffix in suffixes:
                candidate = Path(folder) / f"{name}{suffix}"
                if candidate.is_file() and os.access(candidate, os.X_OK):
                    return candidate
    path = os.pathsep.join(
        part for part in environ.get("PATH", os.defpath).split(os.pathsep) if part and os.path.isabs(part)
    )
    for name in NAMES:
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    return None


@dataclass(frozen=True, slots=True)
class Installed:
    """How an installation ended."""

    ok: bool
    text: str
    path: Path | None = None
    fix: str = ""


async def install_flyctl(
    on_line: Callable[[str], None],
    environ: Mapping[str, str],
    *,
    platform: str = sys.platform,
    limit: float = LIMIT,
) -> Installed:
    """Fetch the official script and run it, giving every line of its output, clean; call it on consent only.

    On Windows nothing is run: the result names the command.
    """
    if platform == "win32":
        return Installed(
            False, "On Windows flyctl is installed by hand.", fix=f"Run `{WINDOWS}`, then check again"
        )
    redactor = Redactor()
    environment = child_environment(environ)
    if environ.get("FLYCTL_INSTALL"):
        environment["FLYCTL_INSTALL"] = environ["FLYCTL_INSTALL"]
    folder = environ.get("HOME") or "/"

    def show(_stream: object, line: str) -> None:
        text = redactor.line(line.rpartition("\r")[2] if "\r" in line else line)
        if text.strip():
            on_line(text)

    local = environ.get(SCRIPT_VARIABLE)
    try:
        if local:
            script = await off_loop(10.0, Path(local).read_bytes)
        else:
            on_line(f"$ curl -L {SCRIPT}")
            fetched = await run_child(
                ["curl", "-fsSL", "--proto", "=https", "--max-time", "60", SCRIPT],
                cwd=folder,
                env=environment,
                timeout=90.0,
            )
            if fetched.code != 0 or not fetched.stdout.strip():
                for line in fetched.stderr.splitlines():
                    show("stderr", line)
                return Installed(
                    False, "The install script could not be fetched.", fix=_by_hand("your network")
                )
            script = fetched.stdout.encode()
        on_line("$ sh")
        ended = await run_child(
            ["sh", "-s"], cwd=folder, env=environment, stdin=script, timeout=limit, on_line=show
        )
    except FileNotFoundError as error:
        missing = Path(error.filename or "curl").name
        return Installed(False, f"`{missing}` was not found.", fix=f"Install `{missing}`, or {_by_hand('')}")
    except OSError as error:
        return Installed(False, f"The install script could not be run ({error.strerror}).", fix=_by_hand(""))
    if ended.timed_out:
        return Installed(
            False, f"The install script did not end within {limit:g} s and was stopped.", fix=_by_hand("")
        )
    if ended.code != 0:
        return Installed(False, f"The install script ended with exit status {ended.code}.", fix=_by_hand(""))
    path = find_flyctl(environ, platform=platform)
    if path is None:
        return Installed(False, "The install script ended well, but no flyctl was found.", fix=_by_hand(""))
    return Installed(True, f"flyctl is installed at `{path}`", path)


def _by_hand(what: str) -> str:
    check = f"Check {what}, or " if what else ""
    text = f"{check}run `{SHOWN}` by hand, then check again"
    return text[0].upper() + text[1:]
