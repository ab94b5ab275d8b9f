"""Owns the ``Tunnel`` port: runs ``fly mpg proxy``, knows when it is ready, and always ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from flywizard.adapters.postgres_signin import SSL_REQUEST
from flywizard.events import Problem, Remedy
from flywizard.plan import StepError
from flywizard.text import Redactor

HOST: Final = "127.0.0.1"
_BLOCKED: Final = ("wireguard", "tunnel", "websocket", "agent", "deadline exceeded", "timeout", "i/o")


class FlyTunnel:
    """Runs ``EXECUTABLE mpg proxy CLUSTER -p PORT`` in ``root`` with ``env``."""

    def __init__(
        self,
        executable: str | Path,
        env: Mapping[str, str],
        root: Path,
        *,
        deadline: float = 30.0,
        arguments: Sequence[str] = ("mpg", "proxy"),
        secrets: Sequence[str] = (),
    ) -> None:
        self._executable = str(executable)
        self._env = dict(env)
        self._root = root
        self._deadline = deadline
        self._arguments = tuple(arguments)
        self._redactor = Redactor(secrets)

    def argv(self, cluster: str, port: int) -> tuple[str, ...]:
        """Return the command line."""
        return (self._executable, *self._arguments, cluster, "-p", str(port))

    @asynccontextmanager
    async def open(self, cluster: str) -> AsyncIterator[tuple[str, int]]:
        """Give (host, port) of the local end once a Postgres answers there; the proxy ends with the block.

        Raises:
            StepError: PG-25 (the network keeps WireGuard from getting out), or the command ended by itself.
        """
        port = _free_port()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv(cluster, port),
                cwd=self._root,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
            )
        except FileNotFoundError:
            raise StepError(self._problem("`fly` was not found", (), cluster)) from None
        lines: deque[str] = deque(maxlen=30)
        reader = asyncio.create_task(_collect(process.stdout, lines))
        try:
            await self._wait(process, port, lines, cluster)
            yield HOST, port
        finally:
            await _end(process)
            await reader

    async def _wait(
        self, process: asyncio.subprocess.Process, port: int, lines: Sequence[str], cluster: str
    ) -> None:
        until = time.monotonic() + self._deadline
        while not await _speaks_postgres(port, min(5.0, max(0.1, until - time.monotonic()))):
            if process.returncode is not None:
                raise StepError(self._problem("`fly mpg proxy` ended before it was ready", lines, cluster))
            if time.monotonic() > until:
                raise StepError(
                    self._problem(
                        f"`fly mpg proxy` did not reach the database in {self._deadline:.0f} s",
                        lines,
                        cluster,
                    )
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.1)

    def _problem(self, what: str, lines: Sequence[str], cluster: str) -> Problem:
        log = tuple(self._redactor.line(line) for line in lines)
        words = " ".join(log).lower()
        blocked = not log or any(word in words for word in _BLOCKED)
        why = (
            "The tunnel uses WireGuard (UDP port 51820), which many office and hotel networks block. "
            "`fly wireguard websockets enable` sends it through port 443 instead."
            if blocked
            else "flyctl gave the reason below."
        )
        remedies = [Remedy("retry", "Try again")]
        if blocked:
            remedies.insert(
                0,
                Remedy(
                    "run:websockets", "Send WireGuard through port 443", "fly wireguard websockets enable"
                ),
            )
        remedies.append(Remedy("copy", "Run the schema by hand", f"fly mpg connect {cluster}"))
        return Problem("PG-25", what, why, tuple(remedies), raw="\n".join(log), log=log)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


async def _collect(stream: asyncio.StreamReader | None, lines: deque[str]) -> None:
    while stream is not None and (piece := await stream.read(4096)):
        lines.extend(line for line in piece.decode("utf-8", "replace").splitlines() if line.strip())


async def _speaks_postgres(port: int, patience: float) -> bool:
    """Tell whether the port answers a Postgres TLS request; the text that flyctl prints is no proof."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(SSL_REQUEST)
                return await reader.read(1) in (b"S", b"N")
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: SIGINT, and SIGKILL after five seconds."""
    for number, patience in ((signal.SIGINT, 5.0), (getattr(signal, "SIGKILL", signal.SIGTERM), 5.0)):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.terminate()
            else:
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.shield(asyncio.wait_for(process.wait(), patience))
