"""Owns the state directory: where it is, whom it belongs to, and how files in it are made private and whole."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATE_VARIABLE = "FLYWIZARD_STATE_DIR"
OWNER_FILE = "project.json"
POSIX = os.name == "posix"


class StateError(OSError):
    """The state directory or a file in it cannot be used; ``strerror`` says why, ``filename`` which."""

    def __init__(self, number: int, why: str, path: Path | str) -> None:
        super().__init__(number, why, str(path))


@dataclass(frozen=True, slots=True)
class Pair:
    """What a project's folder was made for."""

    root: str
    """Absolute path of the repository."""
    organization: str
    """Slug, or empty while it is not chosen."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder of one project."""

    path: Path
    wanted: Pair
    recorded: Pair | None
    """What it was made for, when that is something else than ``wanted``; the user decides."""

    def adopt(self) -> StateFolder:
        """Record ``wanted`` from now on, after the user agreed."""
        _record(self.path, self.wanted)
        return StateFolder(self.path, self.wanted, None)


def state_root(environ: Mapping[str, str]) -> Path:
    """Return the folder of all projects: ``FLYWIZARD_STATE_DIR``, else the user's state directory."""
    if environ.get(STATE_VARIABLE):
        return Path(environ[STATE_VARIABLE]).absolute()
    from platformdirs import user_state_path

    return user_state_path("flywizard", appauthor=False)


def project_state_dir(
    root: Path, organization: str, project: str, environ: Mapping[str, str] | None = None
) -> StateFolder:
    """Make (or open) the private folder of a project and compare what it was made for.

    The organisation may be empty until it is chosen; then only the root is compared.

    Raises:
        StateError: it cannot be made, is a symbolic link, or others can read it.
    """
    environ = os.environ if environ is None else environ
    path = _project_path(project, environ)
    private_folder(path)
    wanted = Pair(str(root.resolve()), organization)
    recorded = _recorded(path)
    if recorded is None:
        _record(path, wanted)
        return StateFolder(path, wanted, None)
    if recorded.root == wanted.root:
        if not recorded.organization and wanted.organization:
            _record(path, wanted)
        if recorded.organization == wanted.organization or "" in (recorded.organization, wanted.organization):
            return StateFolder(path, wanted, None)
    return StateFolder(path, wanted, recorded)


def recorded_pair(project: str, environ: Mapping[str, str]) -> Pair | None:
    """Return what a project's folder was made for, without making it; None: there is none.

    Raises:
        StateError: it is there and cannot be read.
    """
    return _recorded(_project_path(project, environ))


def _project_path(project: str, environ: Mapping[str, str]) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", project).lstrip(".") or "project"
    return state_root(environ) / name


def _recorded(path: Path) -> Pair | None:
    try:
        body = json.loads(read_private(path / OWNER_FILE))
        return Pair(str(body["root"]), str(body.get("organization", "")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Pair("unknown", "")


def _record(path: Path, pair: Pair) -> None:
    body = {"v": 1, "root": pair.root, "organization": pair.organization}
    write_private(path / OWNER_FILE, json.dumps(body, ensure_ascii=False) + "\n")


def private_folder(path: Path) -> Path:
    """Make ``path`` and its missing parents with mode 0700, whatever the umask; check it when it is there.

    Raises:
        StateError: it cannot be made, is no folder or a symbolic link, or others can read it.
    """
    missing = []
    folder = path
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    try:
        for folder in reversed(missing):
            try:
                folder.mkdir(mode=0o700)
                if POSIX:
                    folder.chmod(0o700)
            except FileExistsError:
                continue  # somebody made it meanwhile; it is checked below
            sync_folder(folder.parent)
    except OSError as error:
        raise StateError(error.errno or 0, f"cannot make the folder ({error.strerror})", path) from error
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise StateError(0, "is a symbolic link; flywizard keeps its state only in a folder of its own", path)
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(0, "is not a folder", path)
    _only_ours(found, path, "0700")
    return path


def _only_ours(found: os.stat_result, path: Path, mode: str) -> None:
    if not POSIX:
        return
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StateError(0, f"can be read by others; run `chmod {mode} {path}`", path)
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise StateError(0, "belongs to another user", path)


def open_descriptor(path: Path, flags: int) -> int:
    """Open a private file without following a symbolic link; a new one has mode 0600 from its first byte.

    Raises:
        FileNotFoundError: without ``O_CREAT``.
        StateError: a symbolic link, no plain file, readable by others, or the system refuses.
    """
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)
    try:
        if not POSIX and path.is_symlink():
            raise StateError(0, "is a symbolic link", path)
        descriptor = os.open(path, flags, 0o600)
    except (FileNotFoundError, StateError):
        raise
    except OSError as error:
        why = "is a symbolic link" if path.is_symlink() else (error.strerror or "cannot be opened")
        raise StateError(error.errno or 0, why, path) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StateError(0, "is not a plain file", path)
        _only_ours(found, path, "0600")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_private(path: Path) -> str:
    """Return the text of a private file; see :func:`open_descriptor`."""
    with os.fdopen(open_descriptor(path, os.O_RDONLY), "r", encoding="utf-8", newline="") as file:
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Replace a private file whole: 0600 from the first byte, fsynced, renamed into place.

    Raises:
        StateError: the system refuses (disk full, read-only); the old file is intact.
    """
    try:
        replace_file(path, text.encode(), 0o600)
    except StateError:
        raise
    except OSError as error:
        raise StateError(error.errno or 0, error.strerror or "cannot be written", path) from error


def replace_file(path: Path, data: bytes, mode: int | None, owner: tuple[int, int] | None = None) -> None:
    """Write ``data`` to a temporary file beside ``path``, fsync it, rename it over ``path``, fsync the folder.

    Args:
        path: the file; a symbolic link in its place would be replaced, so resolve it first.
        data: its whole content.
        mode: permission bits; None: what the umask gives a new file.
        owner: (uid, gid) to keep where the system lets us.

    Raises:
        OSError: the old file is intact, and the temporary one is gone.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)
    try:
        try:
            write_all(descriptor, data)
            if sys.platform != "win32":
                if owner is not None:
                    with suppress(PermissionError):
                        os.fchown(descriptor, *owner)
                if mode is not None:
                    os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, also when the system takes them in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Put a folder's entries on disk, where the system can do so."""
    if not POSIX:
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
