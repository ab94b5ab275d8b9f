"""Owns the HTTP server of the rehearsal: loopback sockets around the API, broken on the wire where a switch says so."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import h11

from flywizard.lock import LockHeld, RunLock
from flywizard.rehearsal.api import After, Api
from flywizard.rehearsal.api_messages import Request, Response
from flywizard.rehearsal.backing import PostgresBacking
from flywizard.rehearsal.clock import Durations, RehearsalClock, WorldClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.state import SERVER, StateFolder
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import JSON

LOCK = "server.lock"
IDLE = 30 * 60.0
"""Real seconds without a request after which the process ends by itself."""
HANG = 600.0
SLOW_PIECES = 4
SLOW_PAUSE = 1.0
"""World seconds between the pieces of a slow body."""
LARGEST = 64 * 1024 * 1024


class Server:
    """Serves an ``Api`` on two loopback ports: one for the API, one for the public edge."""

    def __init__(self, api: Api, clock: RehearsalClock) -> None:
        """Wrap ``api``; nothing listens before ``start``."""
        self.api = api
        self.clock = clock
        self.last_request = time.monotonic()
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Port of the API."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def edge_port(self) -> int:
        """Port of the edge: ``/APP/…`` or a Host header ``APP.fly.dev``."""
        return int(self._servers[1].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Base of all four APIs."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def edge_url(self) -> str:
        """Base of the edge."""
        return f"http://127.0.0.1:{self.edge_port}"

    async def start(self) -> None:
        """Listen on 127.0.0.1, ports chosen by the system."""
        self._servers = [
            await asyncio.start_server(self._accept, "127.0.0.1", 0),
            await asyncio.start_server(self._accept_edge, "127.0.0.1", 0),
        ]

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        for server in self._servers:
            server.close()
        tasks = [task for task in self._open if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._track(reader, writer, edge=False)

    async def _accept_edge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._track(reader, writer, edge=True)

    async def _track(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, edge: bool) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._open.add(task)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._talk(reader, writer, edge=edge)
        except (ConnectionError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, edge: bool) -> None:
        wire = h11.Connection(h11.SERVER)
        while True:
            request = await _read(wire, reader, writer, edge=edge)
            if request is None:
                return
            self.last_request = time.monotonic()
            response = await self.api.handle(request)
            if not await self._send(wire, reader, writer, response, request.method):
                return
            if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
                return
            wire.start_next_cycle()

    async def _send(
        self,
        wire: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        response: Response,
        method: str,
    ) -> bool:
        match response.transport:
            case "cut":
                _reset(writer)
                return False
            case "hang":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HANG):
                        await reader.read(1)
                return False
            case "" | "slow" | "truncate":
                pass
        body = b"" if response.status == 204 else response.body
        headers = [(name, value) for name, value in response.headers.items()]
        headers += [("date", formatdate(self.clock.now(), usegmt=True)), ("server", "rehearsal")]
        if response.status != 204:
            headers.append(("content-length", str(len(body))))
        reason = HTTPStatus(response.status).phrase if response.status in _STATUSES else "Unknown"
        head = wire.send(h11.Response(status_code=response.status, headers=headers, reason=reason.encode()))
        data = b"" if method == "HEAD" else body
        assert head is not None  # noqa: S101
        if response.transport == "truncate":
            writer.write(head + data[: len(data) // 2])
            await writer.drain()
            return False
        if response.transport == "slow":
            size = max(1, len(data) // SLOW_PIECES)
            writer.write(head)
            for start in range(0, len(data), size):
                await writer.drain()
                await self.clock.sleep(SLOW_PAUSE)
                writer.write(wire.send(h11.Data(data=data[start : start + size])) or b"")
            writer.write(wire.send(h11.EndOfMessage()) or b"")
        else:
            rest = (wire.send(h11.Data(data=data)) or b"") if data else b""
            writer.write(head + rest + (wire.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return True


_STATUSES = {int(status) for status in HTTPStatus}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without an answer; what was not read makes the system send a reset."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(
    wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, edge: bool
) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            if wire.they_are_waiting_for_100_continue:
                note = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                writer.write(wire.send(note) or b"")
            wire.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, bytes(body), edge=edge)
        else:
            return None


def _request(head: h11.Request, body: bytes, *, edge: bool) -> Request:
    target = head.target.decode("latin-1")
    raw, _, query = target.partition("?")
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    path = raw
    if (
        edge
        and not headers.get("host", "").partition(":")[0].endswith(".fly.dev")
        and not raw.startswith("/_edge/")
    ):
        path = "/_edge" + unquote(raw)
    return Request(head.method.decode(), path, dict(pairs), headers, body, pairs)


async def serve(
    folder: StateFolder,
    *,
    speed: float,
    faults: Sequence[str] = (),
    reset: bool = False,
    idle: float = IDLE,
    durations: Durations | None = None,
    control: str = "",
    postgres: Path | None = None,
    after: After | None = None,
) -> None:
    """Serve the World of a folder until SIGTERM, SIGINT, a control request, or ``idle`` seconds of silence.

    ``server.json`` says where, once the ports are open. ``postgres`` is the folder of the rehearsal's
    Postgres, which then stands behind the clusters; ``after`` is called for each committed change.

    Raises:
        ValueError: a switch or the saved World is wrong, or another process serves this folder.
    """
    try:
        with RunLock(folder.path / LOCK) as lock:
            lock.acquire("rehearsal server")
            await _serve(folder, speed, faults, reset, idle, durations, control, postgres, after)
    except LockHeld as held:
        raise ValueError(f"this World is served already by {held}") from None


async def _serve(
    folder: StateFolder,
    speed: float,
    faults: Sequence[str],
    reset: bool,
    idle: float,
    durations: Durations | None,
    control: str,
    postgres: Path | None,
    after: After | None,
) -> None:
    loaded = None if reset else folder.load(durations=durations)
    world, switches = loaded or (World(durations=durations), Faults())
    for text in faults:
        switches.add(text)
    clock = WorldClock(speed)
    done = asyncio.Event()
    control = control or secrets.token_urlsafe(24)
    api = Api(
        world, clock, switches, control=control, backing=PostgresBacking(postgres) if postgres else None
    )
    api.after = after
    api.on_commit = lambda: folder.save(api.world, api.faults)
    api.on_shutdown = done.set
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(getattr(signal, name), done.set)
    server = Server(api, clock)
    async with server:
        folder.save(api.world, api.faults)
        place: JSON = {
            "pid": os.getpid(),
            "port": server.port,
            "edge_port": server.edge_port,
            "url": server.url,
            "edge_url": server.edge_url,
            "control": control,
            "speed": speed,
        }
        folder.write(SERVER, place)
        while not done.is_set():
            left = server.last_request + idle - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await done.wait()
        # The answer to the request that asked for the end is still on its way.
        await asyncio.sleep(0.05)
    folder.save(api.world, api.faults)
    folder.forget_server(os.getpid())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server as a process of its own: ``python -m flywizard.rehearsal.server --state DIR``."""
    parser = argparse.ArgumentParser(prog="flywizard.rehearsal.server", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="folder of the World")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster simulated waits are")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME[@WHERE][*TIMES]", help="a switch"
    )
    parser.add_argument("--reset", action="store_true", help="forget the saved World")
    parser.add_argument("--idle", type=float, default=IDLE, help="seconds of silence after which it ends")
    parser.add_argument("--postgres", type=Path, help="folder of the rehearsal's Postgres")
    given = parser.parse_args(argv)
    try:
        asyncio.run(
            serve(
                StateFolder(given.state),
                speed=given.speed,
                faults=given.fault,
                reset=given.reset,
                idle=given.idle,
                postgres=given.postgres,
            )
        )
    except ValueError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
