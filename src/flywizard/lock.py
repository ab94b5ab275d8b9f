"""Owns the run lock: one run at a time for a project, and who holds it.

The lock is the operating system's, so it ends with its holder; what a dead holder wrote is only news.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from flywizard import __version__
from flywizard.state_folder import open_descriptor, private_folder, write_all
from flywizard.text import clean, rfc3339

FILE = "run.lock"
_FAR = 1 << 30
"""Windows locks bytes against reading too, so a byte far behind the text is locked."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock, or held it last."""

    pid: int = 0
    host: str = ""
    user: str = ""
    time: str = ""
    """Since when, RFC 3339."""
    version: str = ""
    command: str = ""

    def words(self) -> str:
        """Return one line: who, where, since when, doing what."""
        if not self.pid:
            return "another flywizard (it has not written its name yet)"
        command = f" running `{self.command}`" if self.command else ""
        return f"{self.user}@{self.host}, process {self.pid}, flywizard {self.version},{command} since {self.time}"


class LockHeld(Exception):  # noqa: N818 - a state of the world, not a fault
    """Another run holds the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder.words())
        self.holder = holder


class RunLock:
    """The lock of one project's state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    @property
    def held(self) -> bool:
        """Tell whether this object holds the lock."""
        return self._descriptor >= 0

    def acquire(
        self,
        command: str,
        *,
        wait: float = 0.0,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Holder | None:
        """Take the lock, trying for ``wait`` seconds; return the holder that died with it, if one did.

        Raises:
            LockHeld: another process holds it; names it.
            OSError: the file cannot be made (StateError says why).
        """
        if self.held:
            raise RuntimeError("this lock is held already")
        private_folder(self.path.parent)
        descriptor = open_descriptor(self.path, os.O_RDWR | os.O_CREAT)
        try:
            end = monotonic() + wait
            while not _try(descriptor):
                if monotonic() >= end:
                    raise LockHeld(_read(descriptor) or Holder())
                sleep(min(0.1, max(0.01, wait)))
            dead = _read(descriptor)
            holder = Holder(
                os.getpid(), socket.gethostname(), _user(), rfc3339(now()), __version__, clean(command)
            )
            _write(descriptor, json.dumps(asdict(holder), ensure_ascii=False))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return dead

    def release(self) -> None:
        """Give the lock back; may be called without holding it."""
        if not self.held:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            _write(descriptor, "")
            _unlock(descriptor)
        finally:
            os.close(descriptor)

    def holder(self) -> Holder | None:
        """Return who holds the lock now, without taking it; None: nobody."""
        try:
            descriptor = open_descriptor(self.path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            if _try(descriptor):
                _unlock(descriptor)
                return None
            return _read(descriptor) or Holder()
        finally:
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"


def _read(descriptor: int) -> Holder | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        body = json.loads(os.read(descriptor, 65536))
        words = {key: clean(str(body[key])) for key in ("host", "user", "time", "version", "command")}
        return Holder(pid=int(body["pid"]), **words)
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, text: str) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    data = text.encode("utf-8", "replace")
    write_all(descriptor, data)
    os.ftruncate(descriptor, len(data))


if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
