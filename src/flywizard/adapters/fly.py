"""Owns running flyctl: a keeper for what changes something, a plain child for what looks."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from flywizard.adapters.process import LineSplitter, child_environment, run_child
from flywizard.attempt import (
    CANCEL,
    CHILD,
    END,
    KILL,
    LOCK,
    STREAMS,
    Order,
    is_alive,
    is_held,
    lock,
    signal_group,
)
from flywizard.plan import Command
from flywizard.ports import Doubt, Ended, OnOutput
from flywizard.text import Redactor
from flywizard.vault import Secret

_NO_GUARD = "FLYWIZARD_NO_GUARD"
_KEEPER_NEEDS = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
_ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CANT_WRITE = 74
_ORPHAN_INTERRUPT = 30.0
_ORPHAN_KILL = 45.0
_Stream = Literal["stdout", "stderr"]


class FlyRunner:
    """The ``Fly`` port."""

    def __init__(
        self,
        executable: Path,
        root: Path,
        runs_dir: Path,
        environment: Mapping[str, str],
        mask: Callable[[], Iterable[str]],
        token: Secret | None = None,
        guard: bool = True,
        pace: float = 1.0,
    ) -> None:
        """Take the flyctl that was found, the repository, where attempts are kept, and the wizard's environment.

        ``mask`` gives the secret values known now; it is asked at each command. ``FLYWIZARD_NO_GUARD=1`` in the
        environment turns the guard off. ``pace`` multiplies its waits, for rehearsals.
        """
        self._executable = executable.absolute()
        self._root = root.absolute()
        self._runs = runs_dir.absolute()
        self._pace = pace
        self._environment = environment
        self._mask = mask
        self._token = token
        self._guard = guard and environment.get(_NO_GUARD, "") in {"", "0"}
        self._running: set[Path] = set()

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
        attempt: str = "",
        on_started: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Ended:
        """Run a command to its end; see ``ports.Fly``.

        Raises:
            FileNotFoundError: no flyctl.
            FileExistsError: this attempt was made before; ``settle`` it.
            OSError: it could not be started, or the run's directory can't be written.
        """
        argv = self._argv(command)
        env = self._env(command)
        values = self._values(env, stdin)
        tell = _cleaning(on_output, values)
        if command.private or not command.changes:
            return await run_child(
                argv,
                cwd=self._root,
                env=env,
                stdin=stdin,
                timeout=command.timeout,
                on_line=None if command.private else tell,
            )
        order = Order(
            argv=argv,
            cwd=str(self._root),
            env=env,
            stdin_b64=None if stdin is None else base64.b64encode(stdin).decode(),
            mask=values,
            guarded=command.guarded and self._guard,
            timeout=command.timeout,
            pace=self._pace,
        )
        directory = self._directory(attempt or f"once-{uuid.uuid4().hex}")
        # a cancelled caller must not leave half an order behind
        keeper = await asyncio.shield(asyncio.to_thread(_start, directory, order))
        ended = await self._follow(directory, tell, on_started)
        if ended is None:
            raise _not_started(directory, keeper, argv[0])
        return ended

    async def settle(self, attempt: str, *, on_output: OnOutput | None = None) -> Ended | None:
        """Follow a child that an earlier wizard started until it has ended; None: it never started."""
        directory = self._directory(attempt)
        if not directory.is_dir():
            return None
        return await self._follow(directory, _cleaning(on_output, self._values({}, None)), None)

    async def interrupt(self) -> None:
        """Ask every changing child of this run to stop (SIGINT once)."""
        for directory in list(self._running):
            _cancel(directory, b"")

    async def kill(self) -> None:
        """End every changing child of this run by force: what a second Ctrl+C is for."""
        for directory in list(self._running):
            _cancel(directory, KILL.encode())

    def _argv(self, command: Command) -> list[str]:
        first, *rest = command.argv
        return [str(self._executable) if first in {"fly", "flyctl"} else first, *rest]

    def _env(self, command: Command) -> dict[str, str]:
        env = child_environment(self._environment, command.env)
        if self._token is not None:
            env.pop("FLY_ACCESS_TOKEN", None)  # it would win over ours
            env["FLY_API_TOKEN"] = self._token.reveal()
        return env

    def _values(self, env: Mapping[str, str], stdin: bytes | None) -> list[str]:
        values = [*self._mask()]
        for name in ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN"):
            values += [env.get(name, ""), self._environment.get(name, "")]
        if self._token is not None:
            values.append(self._token.reveal())
        for line in (stdin or b"").decode("utf-8", "replace").splitlines():
            # whatever goes in over stdin is a secret, known to the vault or not
            value = line.partition("=")[2].strip("\"' ")
            values += [value] if len(value) >= 8 else []
        return list(dict.fromkeys(value for value in values if value))

    def _directory(self, attempt: str) -> Path:
        if _ATTEMPT.fullmatch(attempt) is None:
            raise ValueError(f"not the name of an attempt: {attempt!r}")
        return self._runs / attempt

    async def _follow(
        self,
        directory: Path,
        tell: OnOutput | None,
        on_started: Callable[[Mapping[str, Any]], None] | None,
    ) -> Ended | None:
        """Deliver what is logged until the child has ended; None: it never started."""
        tails = [_Tail(directory, name) for name in STREAMS]
        delay = 0.05
        waiting = on_started
        self._running.add(directory)
        try:
            while True:
                held = is_held(directory / LOCK)  # first: a keeper writes the end before it lets go
                end = _read_json(directory / END)
                born = _read_json(directory / CHILD) if waiting is not None or not held else None
                if waiting is not None and born is not None:
                    waiting(born)
                    waiting = None
                busy = False
                for tail in tails:
                    busy = tail.deliver(tell) or busy
                if busy:
                    delay = 0.05
                elif end is not None or not held:
                    break
                else:
                    delay = min(0.2, delay * 1.3)
                if end is None:
                    await asyncio.sleep(delay)
                else:
                    await asyncio.sleep(0)
            for tail in tails:
                tail.finish(tell)
            if end is not None:
                if tell is not None:
                    _tell_settled(end, tell)
                return _ended(directory, end) if end.get("started") else None
            if born is None and os.name == "posix" and not (directory / f"{STREAMS[0]}.log").exists():
                return None  # the logs are opened before the child starts
            if born is not None:
                await _outlive(born)
            return _ended(directory, {})
        finally:
            self._running.discard(directory)


def _tell_settled(end: Mapping[str, Any], tell: OnOutput) -> None:
    """Report faults that flyctl never saw: a settled answer would hide them."""
    for settled in end.get("settled", ()):
        tell("stderr", f"flywizard-guard: {settled['method']} {settled['path']} {settled['reason']}")


def _cleaning(on_output: OnOutput | None, values: Iterable[str]) -> OnOutput | None:
    if on_output is None:
        return None
    redactor = Redactor(values)

    def tell(stream: _Stream, line: str) -> None:
        on_output(stream, redactor.line(line))

    return tell


def _start(directory: Path, order: Order) -> subprocess.Popen[bytes]:
    """Start a keeper in a session of its own and hand it the order.

    The lock is taken here and inherited, so that it is held from before the keeper can start anything.
    """
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.mkdir(mode=0o700)
    posix = os.name == "posix"
    held = lock(directory / LOCK) if posix else None
    try:
        keeper = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "flywizard.keeper",
                str(directory),
                *([str(held)] if held is not None else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env={name: os.environ[name] for name in _KEEPER_NEEDS if name in os.environ},
            start_new_session=posix,
            creationflags=0 if posix else 0x00000208,  # CREATE_NEW_PROCESS_GROUP | DETACHED_PROCESS
            pass_fds=() if held is None else (held,),
        )
    finally:
        if held is not None:
            os.close(held)
    assert keeper.stdin is not None  # noqa: S101
    with suppress(OSError):
        keeper.stdin.write(order.to_json())
    with suppress(OSError):
        keeper.stdin.close()
    threading.Thread(target=keeper.wait, name="keeper", daemon=True).start()
    return keeper


def _not_started(directory: Path, keeper: subprocess.Popen[bytes], program: str) -> OSError:
    end = _read_json(directory / END) or {}
    number = end.get("errno")
    if number == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    if isinstance(number, int):
        return OSError(number, str(end.get("error")), program)
    if keeper.wait() == _CANT_WRITE:
        return OSError(errno.ENOSPC, "the directory of the run can't be written", str(directory))
    return OSError(errno.EIO, str(end.get("error") or "the keeper ended early"), program)


def _cancel(directory: Path, content: bytes) -> None:
    try:
        handle = os.open(directory / CANCEL, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(handle, content)
        finally:
            os.close(handle)
    except OSError:
        # no room for the file: a signal to the keeper does the same
        born = _read_json(directory / CHILD) or {}
        if is_alive(int(born.get("keeper_pid", -1)), born.get("keeper_start_time")):
            signal_group(int(born["pid" if content else "keeper_pid"]), force=bool(content))


async def _outlive(born: Mapping[str, Any]) -> None:
    """Wait for a child whose keeper is gone. It dies of its next line or request; in the end by our hand."""
    pid, started = int(born["pid"]), born.get("start_time")
    begun = time.monotonic()
    asked = killed = False
    while is_alive(pid, started):
        waited = time.monotonic() - begun
        if waited > _ORPHAN_INTERRUPT and not asked:
            signal_group(pid, force=False)
            asked = True
        if waited > _ORPHAN_KILL and not killed:
            signal_group(pid, force=True)
            killed = True
        await asyncio.sleep(0.2)


def _ended(directory: Path, end: Mapping[str, Any]) -> Ended:
    texts = []
    for name in STREAMS:
        try:
            texts.append((directory / f"{name}.log").read_bytes().decode("utf-8", "replace"))
        except FileNotFoundError:
            texts.append("")
    return Ended(
        code=end.get("code"),
        stdout=texts[0],
        stderr=texts[1],
        signalled=bool(end.get("signalled")),
        timed_out=bool(end.get("timed_out")),
        doubts=tuple(
            Doubt(str(doubt["method"]), str(doubt["path"]), str(doubt["reason"]))
            for doubt in end.get("doubts", ())
        ),
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class _Tail:
    """Follows one log by its offset."""

    def __init__(self, directory: Path, name: _Stream) -> None:
        self._path = directory / f"{name}.log"
        self._name = name
        self._offset = 0
        self._splitter = LineSplitter()

    def deliver(self, tell: OnOutput | None) -> bool:
        """Deliver the lines of the next piece; False when there is nothing new."""
        if tell is None:
            return False
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                chunk = log.read(262144)
        except FileNotFoundError:
            return False
        self._offset += len(chunk)
        for line in self._splitter.feed(chunk):
            tell(self._name, line)
        return bool(chunk)

    def finish(self, tell: OnOutput | None) -> None:
        """Deliver a last line that has no end."""
        if tell is not None:
            for line in self._splitter.finish():
                tell(self._name, line)
