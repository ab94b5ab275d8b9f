"""Owns children that only look: their environment, their lines, and the time they are given."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from flywizard.ports import Ended, OnOutput

_SYSTEM = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TZ"),
        *("TMPDIR", "TMP", "TEMP", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        # Windows
        *(
            "SYSTEMROOT",
            "SYSTEMDRIVE",
            "WINDIR",
            "COMSPEC",
            "PATHEXT",
            "USERPROFILE",
            "USERNAME",
            "USERDOMAIN",
        ),
        *("HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMW6432"),
        *("PROGRAMFILES(X86)", "PROCESSOR_ARCHITECTURE", "NUMBER_OF_PROCESSORS"),
    }
)
_PREFIXES = ("FLY_", "FLYWIZARD_REHEARSAL_", "DOCKER_", "BUILDKIT_", "DEPOT_", "XDG_", "LC_")
_HIDDEN_FLAGS = frozenset(
    {
        *("FLY_APP", "FLY_ORG", "FLY_ORGANIZATION", "FLY_REGION", "FLY_JSON", "FLY_VERBOSE", "FLY_DEBUG"),
        *("FLY_CONFIG", "FLY_IMAGE", "FLY_FORCE_INSTANCE_ID", "FLY_FORCE_REGION"),
        *("FLY_LOG_GQL_ERRORS", "FLY_LOG_LEVEL"),
    }
)
"""They act like flags that nobody sees in the command line, or dump requests with their headers."""
QUIET: Mapping[str, str] = {
    "FLY_NO_UPDATE_CHECK": "1",
    "FLY_NO_INCIDENTS_CHECK": "1",
    "FLY_SEND_METRICS": "0",
    "FLY_SYNTHETICS_AGENT": "0",
    "FLY_EMIT_RELEASE_JSON": "1",
    "NO_COLOR": "1",
}
"""What every child of ours is given: no side traffic, no colours, and the release as a line of JSON."""


def child_environment(
    base: Mapping[str, str], additions: Mapping[str, str] | Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the whole environment of a child: an allow-list over ``base``, what quietens flyctl, ``additions``.

    On Windows names are compared without case. Whatever is not known here (``LD_PRELOAD``, ``PYTHONPATH``,
    ``NODE_OPTIONS``, secrets of other programs) stays out.
    """
    windows = sys.platform == "win32"

    def kept(name: str) -> bool:
        known = name.upper() if windows else name
        return known in _SYSTEM or (known.startswith(_PREFIXES) and known not in _HIDDEN_FLAGS)

    return {name: value for name, value in base.items() if kept(name)} | dict(QUIET) | dict(additions)


_OWN_GROUP = 0x00000200 if os.name == "nt" else 0
"""CREATE_NEW_PROCESS_GROUP on Windows; elsewhere a session of its own does it."""
_BREAK = re.compile(r"\r\n|\n")


class LineSplitter:
    """Turns chunks of bytes into whole lines, however the chunks are cut.

    A carriage return starts the line anew, as on a terminal: only what stands after the last one counts,
    or before it when nothing follows. There is no limit to a line's length unless ``limit`` (characters) is
    given: then a longer one comes in pieces of that length.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._return = False
        """The last character was a carriage return whose meaning is open."""

    def feed(self, chunk: bytes) -> list[str]:
        """Take a chunk, return the lines that it ended, without their ends."""
        return self._take(self._decoder.decode(chunk))

    def finish(self) -> list[str]:
        """Return what is left as a last line, if anything is."""
        lines = self._take(self._decoder.decode(b"", final=True))
        rest = self._line()
        return [*lines, rest] if rest else lines

    def _take(self, text: str) -> list[str]:
        if self._return:
            text = "\r" + text
            self._return = False
        if text.endswith("\r"):
            text, self._return = text[:-1], True
        *whole, rest = _BREAK.split(text)
        lines = []
        for part in whole:
            lines += self._add(part)
            lines.append(self._line())
        return lines + self._add(rest)

    def _add(self, text: str) -> list[str]:
        if "\r" in text:
            parts = [part for part in ("".join(self._parts) + text).split("\r") if part]
            self._parts = parts[-1:]
            self._size = sum(map(len, self._parts))
        elif text:
            self._parts.append(text)
            self._size += len(text)
        if self._limit is None or self._size <= self._limit:
            return []
        joined = "".join(self._parts)
        cut = len(joined) - len(joined) % self._limit
        self._parts = [joined[cut:]] if joined[cut:] else []
        self._size = len(joined) - cut
        return [joined[at : at + self._limit] for at in range(0, cut, self._limit)]

    def _line(self) -> str:
        line = "".join(self._parts)
        self._parts, self._size = [], 0
        return line


class _Child(asyncio.SubprocessProtocol):
    """Collects what a child prints."""

    def __init__(self, on_line: OnOutput | None) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.output = {1: bytearray(), 2: bytearray()}
        self._splitters = {1: LineSplitter(), 2: LineSplitter()}
        self._open = {1, 2}
        self._on_line = on_line

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output[fd] += data
        if self._on_line is not None:
            self._report(fd, self._splitters[fd].feed(data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open and not self.closed.done():
            self.closed.set_result(None)

    def process_exited(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def finish(self) -> None:
        if self._on_line is not None:
            for fd, splitter in self._splitters.items():
                self._report(fd, splitter.finish())

    def _report(self, fd: int, lines: Iterable[str]) -> None:
        stream: Literal["stdout", "stderr"] = "stdout" if fd == 1 else "stderr"
        if self._on_line is not None:
            for line in lines:
                self._on_line(stream, line)


async def run_child(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str],
    stdin: bytes | None = None,
    timeout: float | None = None,
    on_line: OnOutput | None = None,
    linger: float = 5.0,
) -> Ended:
    """Run a command that only looks, in a process group of its own, and return its end with its raw output.

    After ``timeout`` seconds, or when the caller is cancelled, the whole group is killed. Pipes that a
    grandchild still holds are left after ``linger`` seconds. ``on_line`` gets raw lines.

    Raises:
        OSError: it could not be started (FileNotFoundError: no such program or folder).
    """
    loop = asyncio.get_running_loop()
    pipe = asyncio.subprocess.PIPE
    transport, child = await loop.subprocess_exec(
        lambda: _Child(on_line),
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=os.name == "posix",
        creationflags=_OWN_GROUP,
    )
    timed_out = False
    try:
        if stdin is not None:
            _give(transport, stdin)
        done, _ = await asyncio.wait({child.ended}, timeout=timeout)
        if not done:
            timed_out = True
            _kill(transport)
            await child.ended
        await asyncio.wait({child.closed}, timeout=linger)
    except asyncio.CancelledError:
        _kill(transport)
        await asyncio.shield(child.ended)
        raise
    finally:
        transport.close()
    child.finish()
    stdout, stderr = (child.output[fd].decode("utf-8", "replace") for fd in (1, 2))
    return Ended(transport.get_returncode(), stdout, stderr, signalled=timed_out, timed_out=timed_out)


def _give(transport: asyncio.SubprocessTransport, content: bytes) -> None:
    pipe = transport.get_pipe_transport(0)
    if isinstance(pipe, asyncio.WriteTransport):
        pipe.write(content)
        pipe.close()


def _kill(transport: asyncio.SubprocessTransport) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            transport.kill()
        else:
            os.killpg(transport.get_pid(), signal.SIGKILL)
