"""Owns an attempt's directory: its files, the order that its keeper is given, its lock, and who is alive.

Shared by the keeper and whoever follows it. The standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

LOCK: Final = "holder.lock"
CHILD: Final = "child.json"
END: Final = "exit.json"
CANCEL: Final = "cancel"
KILL: Final = "kill"
REQUESTS: Final = "requests.jsonl"
STREAMS: Final = ("stdout", "stderr")

_RESERVE: Final = 8192


@dataclass(frozen=True, slots=True)
class Order:
    """What to run. ``env`` is the whole environment of the child."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    stdin_b64: str | None = None
    """None: the child's stdin is empty."""
    mask: Sequence[str] = ()
    guarded: bool = False
    token: str | None = None
    """Whose requests the guard takes; None: that of ``env``."""
    pace: float = 1.0
    """Multiplies the guard's waits."""
    timeout: float | None = None
    """Seconds until the child is asked to stop; kept here because the wizard may be gone by then."""
    kill_after: float = 20.0
    """Seconds from there to the end by force."""
    linger: float = 5.0
    """How long to wait for pipes that someone else still holds after the child ended."""

    def to_json(self) -> bytes:
        """Return the document for the keeper's stdin."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)}).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Order:
        """Read the document. Raises ValueError or TypeError when it is incomplete."""
        value = json.loads(document)
        known = {field.name for field in fields(cls)}
        return cls(**{key: item for key, item in value.items() if key in known})


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or nothing: temporary file, fsync, rename. Mode 0600."""
    temporary = path.with_name(path.name + ".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory last, where the system can."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_all(handle: int, content: bytes) -> None:
    """Write all of it, in as many calls as the system needs."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


class Ending:
    """The record of the end. Its room is taken beforehand, so that a full disk can't swallow it."""

    def __init__(self, directory: Path) -> None:
        """Take the room. Raises OSError: then nothing may be started."""
        self._path = directory / END
        self._temporary = directory / f"{END}.tmp"
        handle = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            write_all(handle, b" " * _RESERVE)
            os.fsync(handle)
        finally:
            os.close(handle)

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the record: into the room that was taken, then by rename."""
        content = json.dumps(record).encode()
        handle = os.open(self._temporary, os.O_WRONLY)
        try:
            write_all(handle, content)
            os.ftruncate(handle, len(content))
            os.fsync(handle)
        finally:
            os.close(handle)
        self._temporary.replace(self._path)
        sync_directory(self._path.parent)


def lock(path: Path) -> int | None:
    """Take a lock file, creating it; return its descriptor, or None while another process holds it.

    The lock lives as long as the descriptor, also one that a child inherited.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if _try_lock(handle):
        return handle
    os.close(handle)
    return None


def is_held(path: Path) -> bool:
    """Tell whether a process holds this lock file; a missing one is not held."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(handle, shared=True)
    finally:
        os.close(handle)


def _try_lock(handle: int, *, shared: bool = False) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def start_time(pid: int) -> str | None:
    """Return when a process started, in the system's own form; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        if os.name == "nt" or Path("/proc/self/stat").exists():
            return None
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    after = stat[stat.rindex(b")") + 2 :].split()  # the command's name may hold blanks and brackets
    return None if after[0] in {b"Z", b"X"} else after[19].decode()


def is_alive(pid: int, started: str | None) -> bool:
    """Tell whether the process with this number still is the one that started then."""
    return started is not None and start_time(pid) == started


def signal_group(pid: int, *, force: bool) -> None:
    """Interrupt (SIGINT) or kill the process group that ``pid`` leads; a group that is gone is left alone."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM if force else signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(pid, signal.SIGKILL if force else signal.SIGINT)
