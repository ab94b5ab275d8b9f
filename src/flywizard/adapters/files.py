"""Owns reading and writing inside the repository: whole files, backed up, never beyond the root."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from flywizard.events import Problem, Remedy
from flywizard.plan import StepError
from flywizard.state_folder import private_folder, replace_file

LARGEST = 4 << 20
"""Bytes; a configuration file is smaller."""


class RepositoryFiles:
    """The ``Files`` port over a real folder."""

    def __init__(self, root: Path, backup_dir: Path) -> None:
        """Take the repository root and the private folder for copies of what is replaced."""
        self._root = root.resolve()
        self._backups = backup_dir

    def read(self, path: str) -> str | None:
        """Return the text with its newlines as they are, or None when there is no such file.

        Raises:
            StepError: outside the root, no plain file, too large, not UTF-8, or unreadable.
        """
        try:
            data = self._bytes(self._inside(path))
        except OSError as error:
            raise StepError(_system_problem(path, error, "read")) from error
        return None if data is None else _decoded(path, data)

    def write(self, path: str, text: str, expected: str | None) -> None:
        """Write atomically, with a copy of the old text in the state directory; keeps mode and owner.

        Does nothing when the file holds ``text`` already.

        Raises:
            StepError: the file is no longer ``expected`` (None: must not exist), or it cannot be written.
        """
        target = self._inside(path)
        try:
            before = self._bytes(target)
            data = text.encode("utf-8")
            if before == data:
                return
            if (None if before is None else _decoded(path, before)) != expected:
                raise StepError(_changed_problem(path, before is None))
            mode, owner = None, None
            if before is None:
                self._make_folders(path, target.parent)
            else:
                found = target.stat()
                mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
                if not os.access(target, os.W_OK):
                    raise PermissionError(errno.EACCES, "Permission denied")
                self._back_up(path, before)
            replace_file(target, data, mode, owner)
        except OSError as error:
            raise StepError(_system_problem(path, error, "written")) from error

    def backups(self, path: str) -> list[Path]:
        """Return the copies that were kept of a file, oldest first."""
        found = self._backups.glob(f"{_flat(path)}.*.bak")
        return sorted(found, key=lambda copy: copy.stat().st_mtime_ns)

    def _inside(self, path: str) -> Path:
        parts = path.replace("\\", "/").split("/")
        if not path or path.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in path:
            raise StepError(_outside_problem(path))
        try:
            target = (self._root / path).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise StepError(_outside_problem(path)) from error
        if target == self._root or not target.is_relative_to(self._root) or ".git" in parts:
            raise StepError(_outside_problem(path))
        return target

    def _bytes(self, target: Path) -> bytes | None:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(target, flags)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "is not a plain file")
            if found.st_size > LARGEST:
                raise OSError(errno.EFBIG, "is larger than 4 MB")
            return file.read()

    def _make_folders(self, path: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(self._root):
            raise StepError(_outside_problem(path))

    def _back_up(self, path: str, data: bytes) -> None:
        copy = self._backups / f"{_flat(path)}.{hashlib.sha256(data).hexdigest()[:12]}.bak"
        try:
            private_folder(self._backups)
            if not copy.exists():
                replace_file(copy, data, 0o600)
        except OSError as error:
            raise StepError(_system_problem(path, error, "copied to the state directory")) from error


def keep_newlines(text: str, like: str | None) -> str:
    r"""Return ``text`` with the newlines of ``like``: ``\r\n`` where most of its lines end so, else ``\n``.

    Planners call it before a diff is shown, so that what is written is what was confirmed.
    """
    plain = text.replace("\r\n", "\n")
    if like is None or like.count("\r\n") * 2 <= like.count("\n"):
        return plain
    return plain.replace("\n", "\r\n")


def _flat(path: str) -> str:
    return path.replace("\\", "/").replace("_", "__").replace("/", "_s_")


def _decoded(path: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise StepError(
            Problem(
                "FILE-6",
                f"`{path}` is not UTF-8 text",
                "flywizard only changes text files that it can read whole.",
                (
                    Remedy("retry", f"Save `{path}` as UTF-8, then retry"),
                    Remedy("quit", "Stop here and resume later"),
                ),
            )
        ) from None


_LATER = Remedy("quit", "Stop here and resume later")


def _changed_problem(path: str, gone: bool) -> Problem:
    what = "is gone" if gone else "was changed"
    return Problem(
        "FILE-1",
        f"`{path}` {what} since the Review",
        "Somebody edited it meanwhile. Nothing was written, so that no edit is lost.",
        (Remedy("edit:review", "Look at the Review again, with the file as it is now"), _LATER),
    )


def _outside_problem(path: str) -> Problem:
    return Problem(
        "FILE-2",
        f"`{path}` leads out of the repository",
        "flywizard writes only inside the repository and follows no link out of it.",
        (Remedy("retry", "Replace the link by a file of its own, then retry"), _LATER),
    )


def _system_problem(path: str, error: OSError, verb: str) -> Problem:
    raw = error.strerror or type(error).__name__
    match error.errno:
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return Problem(
                "FILE-3",
                f"`{path}` cannot be {verb}: the system does not allow it",
                "The file, its folder or the whole disk is read-only for you.",
                (Remedy("retry", "Make it writable, then retry"), _LATER),
                raw=raw,
            )
        case errno.ENOSPC | errno.EDQUOT:
            return Problem(
                "FILE-4",
                f"`{path}` cannot be {verb}: the disk is full",
                "The old file is intact.",
                (Remedy("retry", "Free some space, then retry"), _LATER),
                raw=raw,
            )
        case _:
            return Problem(
                "FILE-5",
                f"`{path}` cannot be {verb}",
                "The system refused; the old file is intact.",
                (Remedy("retry", "Try again"), _LATER),
                raw=raw,
            )
