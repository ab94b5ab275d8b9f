"""Owns the life of one child: holds its pipes, masks and logs what it prints, and writes down how it ended.

A process of its own (``python -m flywizard.keeper DIRECTORY [LOCK_FD]``), so that a killed wizard neither takes
flyctl with it nor loses its exit status. Everything it needs comes as one JSON document over stdin (``Order``),
so secrets are never on disk. It uses the standard library only, but for the guard of guarded children.
"""

from __future__ import annotations

import base64
import codecs
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flywizard.attempt import (
    CANCEL,
    CHILD,
    KILL,
    LOCK,
    REQUESTS,
    STREAMS,
    Ending,
    Order,
    lock,
    signal_group,
    start_time,
    write_all,
    write_whole,
)

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TRUST: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Pump(threading.Thread):
    """Empties one pipe into a masked log, whether the log can be written or not."""

    def __init__(self, log: Path, stream: Any) -> None:
        super().__init__(name=log.name, daemon=True)
        self.lost = 0
        """Bytes that could not be written."""
        self.pipe = -1
        """Set before ``start``."""
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._guard = threading.Lock()
        self._closed = False

    def run(self) -> None:
        """Read until every holder of the pipe has closed it."""
        while True:
            try:
                chunk = os.read(self.pipe, 65536)
            except OSError:
                break
            with self._guard:
                if self._closed:
                    continue
                self._append(self._stream.feed(self._decoder.decode(chunk, final=not chunk)))
            if not chunk:
                break

    def finish(self) -> None:
        """Write what the masking held back, and close the log."""
        with self._guard:
            self._closed = True
            self._append(self._stream.feed(self._decoder.decode(b"", final=True)) + self._stream.flush())
            with suppress(OSError):
                os.fsync(self._log)
            os.close(self._log)

    def _append(self, text: str) -> None:
        content = text.encode("utf-8", "replace")
        while content:
            try:
                content = content[os.write(self._log, content) :]
            except OSError:
                self.lost += len(content)
                return


class Stop:
    """Whether and how the child is to be stopped: by the file ``cancel``, by a signal to us, by its time limit."""

    def __init__(self, directory: Path, order: Order) -> None:
        self._file = directory / CANCEL
        self._order = order
        self._begun = time.monotonic()
        self._asked = False
        self.interrupted_at: float | None = None
        self.killed = False
        self.timed_out = False
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def look(self, send: Callable[[bool], None]) -> None:
        """Send what is due: ``send(False)`` interrupts, ``send(True)`` kills; each at most once."""
        now = time.monotonic()
        limit = self._order.timeout
        self.timed_out = self.timed_out or (limit is not None and now - self._begun >= limit)
        content: str | None = None
        with suppress(OSError):
            content = self._file.read_text(errors="replace").strip()
        if self.interrupted_at is None and (self._asked or self.timed_out or content is not None):
            self.interrupted_at = now
            send(False)
        late = self.timed_out and now - (self.interrupted_at or now) >= self._order.kill_after
        if not self.killed and (content == KILL or late):
            self.killed = True
            send(True)


def keep(directory: Path, order: Order) -> dict[str, Any]:
    """Run the child to its end and return the record of it.

    Raises:
        OSError: it could not be started, or its directory can't be written.
    """
    from flywizard.text import Redactor

    redactor = Redactor(order.mask)
    env = dict(order.env)
    guard: Any = None
    if order.guarded:
        from flywizard.guard import GuardThread
        from flywizard.guard_rules import Limits

        # httpx reads these from the process; they were not given to us at the start, where others could see them
        for name in (*_PROXIES, *(name.lower() for name in _PROXIES), *_TRUST):
            if name in env:
                os.environ[name] = env[name]
        guard = GuardThread(
            env, token=order.token, journal=directory / REQUESTS, limits=Limits().paced(order.pace)
        )
        try:
            here = f"http://127.0.0.1:{guard.start()}"
        except Exception as error:  # whatever it is: unguarded is not an alternative
            raise OSError(errno.EIO, f"the guard could not start: {type(error).__name__}") from error
        env |= {"FLY_API_BASE_URL": here, "FLY_UIEX_BASE_URL": here, "FLY_FLAPS_BASE_URL": here}
    stop = Stop(directory, order)
    record: dict[str, Any] = {}
    try:
        record = _run(directory, order, env, redactor, stop)
    finally:
        if guard is not None:

            def hurry() -> bool:
                stop.look(lambda force: None)
                return stop.killed

            record |= guard.close(hurry)
    return record


def _run(directory: Path, order: Order, env: Mapping[str, str], redactor: Any, stop: Stop) -> dict[str, Any]:
    # opened before the child starts: from there on nothing may fail
    pumps = [Pump(directory / f"{name}.log", redactor.stream()) for name in STREAMS]
    child = subprocess.Popen(
        list(order.argv),
        cwd=order.cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL if order.stdin_b64 is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        creationflags=0x00000200 if os.name == "nt" else 0,  # CREATE_NEW_PROCESS_GROUP
        bufsize=0,
    )
    assert child.stdout is not None  # noqa: S101
    assert child.stderr is not None  # noqa: S101
    born = {
        "pid": child.pid,
        "start_time": start_time(child.pid),
        "keeper_pid": os.getpid(),
        "keeper_start_time": start_time(os.getpid()),
    }
    with suppress(OSError):  # the child runs; a full disk must not end what can still be held to its end
        write_whole(directory / CHILD, json.dumps(born).encode())
    for pump, pipe in zip(pumps, (child.stdout, child.stderr), strict=True):
        pump.pipe = pipe.fileno()
        pump.start()
    if order.stdin_b64 is not None:
        given = base64.b64decode(order.stdin_b64)
        threading.Thread(target=_feed, args=(child.stdin, given), daemon=True).start()
    ended = threading.Event()

    def wait() -> None:
        child.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()

    def send(force: bool) -> None:
        if not ended.is_set():
            signal_group(child.pid, force=force)

    while not ended.wait(0.2):
        stop.look(send)
    deadline = time.monotonic() + order.linger
    for pump in pumps:
        pump.join(max(0.0, deadline - time.monotonic()))
        pump.finish()
    return {
        "code": child.returncode,
        "signalled": stop.interrupted_at is not None,
        "timed_out": stop.timed_out,
        "doubts": [],
        "lost": sum(pump.lost for pump in pumps),
    }


def _feed(pipe: Any, content: bytes) -> None:
    with suppress(OSError):
        write_all(pipe.fileno(), content)
    with suppress(OSError):
        pipe.close()


def main(arguments: Sequence[str]) -> int:
    """Keep one child; return 0 when its end was recorded, 73 when the directory is another's, 74 when it fails."""
    os.umask(0o077)
    directory = Path(arguments[0])
    if len(arguments) > 1:
        os.set_inheritable(int(arguments[1]), False)
    elif lock(directory / LOCK) is None:
        return 73
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    record: dict[str, Any]
    try:
        ending = Ending(directory)
    except OSError:
        return 74
    try:
        order = Order.from_json(sys.stdin.buffer.read())
        record = {"started": True, **keep(directory, order)}
    except (ValueError, TypeError):
        record = _never("the order was cut off")
    except OSError as error:
        record = _never(error.strerror or type(error).__name__, error.errno)
    record["ended"] = time.time()
    for attempt in range(5):
        try:
            ending.write(record)
        except OSError:
            time.sleep(0.2 * attempt)
        else:
            return 0
    return 74


def _never(why: str, number: int | None = None) -> dict[str, Any]:
    return {
        "started": False,
        "code": None,
        "signalled": False,
        "timed_out": False,
        "doubts": [],
        "error": why,
        "errno": number,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
