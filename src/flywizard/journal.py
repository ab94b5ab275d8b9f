"""Owns the journal: append-only JSON lines on disk, fsynced, and what they say of each step.

Records: ``run`` (a run begins), ``intent`` (a step is about to act), ``started`` (its child runs), ``done``,
``failed``, ``skipped``, ``end`` (the run is over). An intent without an end is in doubt.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from flywizard.state_folder import (
    StateError,
    StateFolder,
    open_descriptor,
    private_folder,
    project_state_dir,
    replace_file,
    sync_folder,
    write_all,
)
from flywizard.text import rfc3339

__all__ = [
    "FILE",
    "VERSION",
    "Journal",
    "JournalCorruptError",
    "JournalError",
    "JournalState",
    "RunRecord",
    "StateFolder",
    "StepRecord",
    "project_state_dir",
    "read_state",
]

FILE = "journal.jsonl"
VERSION = 1
Status: TypeAlias = Literal["in-doubt", "done", "failed", "skipped"]


class JournalError(StateError):
    """The journal cannot be opened or written; nothing may begin that it does not hold."""


class JournalCorruptError(JournalError):
    """A record in the middle is no record; ``backup`` holds the file as it was found."""

    def __init__(self, path: Path, line: int, backup: Path) -> None:
        super().__init__(
            0, f"line {line} is damaged; a copy is in `{backup}`, move the journal away to begin anew", path
        )
        self.line = line
        self.backup = backup


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What the journal says of one step, its newest word."""

    status: Status
    attempt: str = ""
    """Name of the last try, as given with its intent."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Of the last ``done``."""
    name: str = ""
    """Resource name, as given with its intent."""
    started: Mapping[str, Any] = field(default_factory=dict)
    """The keeper's and the child's process ids and start times, when the last try got that far."""
    problem: str = ""
    """Id of the problem, when failed."""
    created: bool = False
    """Some run of ours made it (``done`` with ``acted``): an undo may remove it."""
    time: str = ""
    """Of the newest record, RFC 3339."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run."""

    id: str
    time: str
    command: str = ""
    plan: str = ""
    """Digest of the plan."""
    outcome: str = ""
    """done · failed · interrupted · nothing-to-do; empty: it never said that it ended."""
    ended: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the ``run`` record."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the whole journal says."""

    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    """By step id, in the order in which they first appeared."""
    runs: tuple[RunRecord, ...] = ()
    """Oldest first."""
    notices: tuple[str, ...] = ()
    """e.g. a torn last line that was ignored."""

    @property
    def last(self) -> RunRecord | None:
        """Return the newest run."""
        return self.runs[-1] if self.runs else None

    @property
    def resumable(self) -> bool:
        """Tell whether the newest run stopped before its end: failed, interrupted, or without a word."""
        return self.last is not None and self.last.outcome not in ("done", "nothing-to-do")

    @property
    def in_doubt(self) -> tuple[str, ...]:
        """Return the ids of steps whose last try has no end."""
        return tuple(step for step, record in self.steps.items() if record.status == "in-doubt")


class Journal:
    """An open journal. ``append`` returns when the record is on disk."""

    def __init__(self, path: Path, descriptor: int, size: int, now: Callable[[], float]) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size = size
        self._now = now
        self._records: list[dict[str, Any]] = []
        self._notices: list[str] = []

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], float] = time.time) -> Journal:
        """Open or create the journal ``path`` in its private folder; hold the run lock first.

        A torn last line is cut off, with a notice in the state.

        Raises:
            JournalCorruptError: garbage before the last line.
            JournalError: a symbolic link, readable by others, a newer format, or the system refuses.
        """
        try:
            private_folder(path.parent)
            new = not os.path.lexists(path)
            descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise _as_journal_error(error, path) from error
        journal = cls(path, descriptor, 0, now)
        try:
            if new:
                sync_folder(path.parent)
            records, whole, notices = _parse(_read_all(descriptor), path)
            if whole < os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, whole)
                os.fsync(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise _as_journal_error(error, path) from error
        journal._size, journal._records, journal._notices = whole, records, notices
        return journal

    def append(self, kind: str, **fields: Any) -> None:
        """Write one record and return when it is on disk. Fields are JSON values and hold no secret.

        Raises:
            JournalError: disk full, read-only, … : the file is as before, and the action must not begin.
        """
        record = {"v": VERSION, "time": rfc3339(self._now()), "kind": kind, **fields}
        line = (
            json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        )
        if self._descriptor < 0:
            raise JournalError(0, "is closed", self.path)
        try:
            if os.fstat(self._descriptor).st_size != self._size:
                os.ftruncate(self._descriptor, self._size)  # the rest of a write that failed
            write_all(self._descriptor, line)
            os.fsync(self._descriptor)
        except OSError as error:
            self._cut_back()
            raise _as_journal_error(error, self.path) from error
        self._size += len(line)
        self._records.append(json.loads(line))

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            return  # the next append tries again before it writes

    def state(self) -> JournalState:
        """Return what all records say, also those of earlier runs."""
        return _fold(self._records, self._notices)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_state(path: Path) -> JournalState:
    """Return what a journal says without changing it; a missing one says nothing.

    Raises:
        JournalError: as :meth:`Journal.open`.
    """
    try:
        descriptor = open_descriptor(path, os.O_RDONLY)
    except FileNotFoundError:
        return JournalState()
    except OSError as error:
        raise _as_journal_error(error, path) from error
    try:
        records, _, notices = _parse(_read_all(descriptor), path)
    finally:
        os.close(descriptor)
    return _fold(records, notices)


def _as_journal_error(error: OSError, path: Path) -> JournalError:
    if isinstance(error, JournalError):
        return error
    return JournalError(error.errno or 0, error.strerror or type(error).__name__, error.filename or path)


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _parse(data: bytes, path: Path) -> tuple[list[dict[str, Any]], int, list[str]]:
    """Return (records, length of the whole part, notices)."""
    lines = data.split(b"\n")
    torn = lines.pop()
    if not torn and lines and _record(lines[-1]) is None:
        torn = lines.pop() + b"\n"  # the last line has its end but not its middle: a power cut
    records = []
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            raise JournalCorruptError(path, number, _backup(path, data))
        if record["v"] > VERSION:
            raise JournalError(0, "was written by a newer flywizard; update flywizard", path)
        records.append(record)
    notices = []
    if torn:
        notices.append("The last line of the journal was torn and is ignored.")
    return records, len(data) - len(torn), notices


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("v"), int):
        return None
    return record if isinstance(record.get("kind"), str) else None


def _backup(path: Path, data: bytes) -> Path:
    """Keep a copy named by its content, so that looking again makes no second one."""
    backup = path.with_name(f"{path.name}.damaged-{hashlib.sha256(data).hexdigest()[:8]}")
    if not backup.exists():
        replace_file(backup, data, 0o600)
    return backup


def _fold(records: list[dict[str, Any]], notices: list[str]) -> JournalState:
    steps: dict[str, StepRecord] = {}
    runs: list[RunRecord] = []
    for record in records:
        kind, when = record["kind"], str(record.get("time", ""))
        step = str(record.get("step", ""))
        if kind == "run":
            known = ("v", "time", "kind", "run", "command", "plan")
            extra = {key: value for key, value in record.items() if key not in known}
            runs.append(
                RunRecord(
                    str(record.get("run", "")),
                    when,
                    str(record.get("command", "")),
                    str(record.get("plan", "")),
                    extra=extra,
                )
            )
        elif kind == "end":
            if runs:
                last = runs[-1]
                runs[-1] = RunRecord(
                    last.id,
                    last.time,
                    last.command,
                    last.plan,
                    str(record.get("outcome", "")),
                    when,
                    last.extra,
                )
        elif step:
            steps[step] = _next(steps.get(step, StepRecord("skipped")), kind, record, when)
    return JournalState(steps, tuple(runs), tuple(notices))


_KNOWN = frozenset({"v", "time", "kind", "step", "attempt"})


def _next(before: StepRecord, kind: str, record: Mapping[str, Any], when: str) -> StepRecord:
    attempt = str(record.get("attempt", before.attempt))
    match kind:
        case "intent":
            name = str(record.get("name", ""))
            return StepRecord("in-doubt", attempt, before.facts, name, {}, "", before.created, when)
        case "started":
            started = {key: value for key, value in record.items() if key not in _KNOWN}
            return StepRecord(
                "in-doubt", attempt, before.facts, before.name, started, "", before.created, when
            )
        case "done":
            facts = {str(key): str(value) for key, value in dict(record.get("facts") or {}).items()}
            created = before.created or bool(record.get("acted"))
            return StepRecord("done", attempt, facts, before.name, before.started, "", created, when)
        case "failed":
            problem = str(record.get("problem", ""))
            return StepRecord(
                "failed", attempt, before.facts, before.name, before.started, problem, before.created, when
            )
        case "skipped":
            return StepRecord("skipped", attempt, before.facts, before.name, {}, "", before.created, when)
        case _:
            return before
