"""Owns a scripted Fly for the guard's tests: it keeps what is created, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import h11

How = Literal["status", "cut", "truncate", "hang", "gzip"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request instead of, or after, its being carried out."""

    how: How
    status: int = 502
    commit: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"error": "bad gateway"}'
    then: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


def status(code: int, *, commit: bool = False, headers: tuple[tuple[str, str], ...] = ()) -> Fault:
    return Fault("status", code, commit, headers)


def cut(*, commit: bool = False) -> Fault:
    return Fault("cut", commit=commit)


@dataclass
class Upstream:
    """The server. ``faults[(method, path)]`` are used up in order; then requests are carried out."""

    faults: dict[tuple[str, str], deque[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    things: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    on_look: Callable[[str], None] | None = None
    port: int = 0
    connections: int = 0
    _number: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def fail(self, method: str, path: str, *faults: Fault) -> None:
        self.faults.setdefault((method, path), deque()).extend(faults)

    def count(self, method: str, path: str) -> int:
        return sum(1 for seen in self.seen if (seen.method, seen.path) == (method, path))

    def get(self, collection: str) -> list[dict[str, Any]]:
        return self.things.setdefault(collection, [])

    async def start(self, tls: ssl.SSLContext | None = None) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    async def close(self) -> None:
        self.released.set()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (ConnectionError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            head: h11.Request | None = None
            body = b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return
            assert head is not None
            headers = {bytes(k).decode(): bytes(v).decode("latin-1") for k, v in head.headers}
            seen = Seen(head.method.decode(), bytes(head.target).decode(), headers, body, number)
            self.seen.append(seen)
            waiting = self.faults.get((seen.method, seen.path))
            fault = waiting.popleft() if waiting else None
            if fault is not None and fault.then is not None:
                fault.then()
            if fault is not None and fault.how == "hang":
                self.hanging.set()
                closed = asyncio.ensure_future(reader.read(1))
                released = asyncio.ensure_future(self.released.wait())
                await asyncio.wait({closed, released}, return_when=asyncio.FIRST_COMPLETED)
                if closed.done():
                    self.dropped.set()
                    released.cancel()
                    return
                closed.cancel()
                await asyncio.gather(closed, return_exceptions=True)
                fault = None
            code, content = 200, b""
            if fault is None or fault.commit or fault.how == "truncate":
                code, content = self._carry_out(seen)
            sent: list[tuple[str, str]] = [("content-type", "application/json"), ("fly-request-id", "01ABC")]
            if fault is not None and fault.how == "cut":
                return
            if fault is not None and fault.how == "status":
                code, content = fault.status, fault.body
                sent += fault.headers
            if fault is not None and fault.how == "gzip":
                content = fault.body
                sent += [("content-encoding", "gzip"), ("transfer-encoding", "chunked")]
            else:
                sent.append(("content-length", str(len(content))))
            out = connection.send(h11.Response(status_code=code, headers=sent)) or b""
            if fault is not None and fault.how == "truncate":
                writer.write(out + content[: len(content) // 2])
                await writer.drain()
                return
            out += connection.send(h11.Data(data=content)) or b""
            out += connection.send(h11.EndOfMessage()) or b""
            writer.write(out)
            await writer.drain()
            if connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()

    def _carry_out(self, seen: Seen) -> tuple[int, bytes]:
        parts = seen.path.strip("/").split("/")
        wanted = json.loads(seen.body) if seen.body.startswith(b"{") else {}
        if seen.method == "GET" and self.on_look is not None:
            self.on_look(seen.path)
        match (seen.method, parts):
            case ("POST", ["v1", "apps"]):
                if wanted["name"] in self.apps:
                    return 422, b'{"error": "Name has already been taken"}'
                return 201, _dump(self.app(wanted["name"], wanted["org_slug"]))
            case ("GET", ["v1", "apps", name]):
                return (200, _dump(self.apps[name])) if name in self.apps else (404, b'{"error": "no app"}')
            case ("GET", ["v1", "apps", _, "machines", machine, "lease"]):
                return 200, _dump({"status": "success", "data": {"nonce": f"nonce-{machine}"}})
            case ("POST", ["v1", "apps", _, "machines" | "volumes"]):
                return 200, _dump(self.add(seen.path, wanted))
            case ("GET", ["v1", "apps", _, "machines" | "volumes"]):
                return 200, _dump(self.get(seen.path))
            case ("POST", ["v1", "apps", _, "ip_assignments"]):
                return 200, _dump(self.address(seen.path, wanted["type"]))
            case ("GET", ["v1", "apps", _, "ip_assignments"]):
                return 200, _dump({"ips": self.get(seen.path)})
            case ("POST", ["api", "v1", "organizations", _, "postgresv2"]):
                item = self.add(seen.path, wanted)
                return 201, _dump({"ok": True, "errors": {}, "data": item})
            case ("GET", ["api", "v1", "organizations", _, "postgres"]):
                return 200, _dump({"data": self.get(seen.path + "v2")})
            case ("POST", ["graphql"]):
                return 200, _dump({"data": {"done": True}})
            case _:
                return 200, _dump({"ok": seen.target})

    def app(self, name: str, organization: str) -> dict[str, Any]:
        self.apps[name] = {"name": name, "id": name, "organization": {"slug": organization}}
        return self.apps[name]

    def add(self, collection: str, wanted: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        item = {
            "id": f"id{self._number}",
            **{k: wanted[k] for k in wanted.keys() & {"name", "region", "config"}},
        }
        self.get(collection).append(item)
        return item

    def address(self, collection: str, kind: str) -> dict[str, Any]:
        self._number += 1
        address = {"v6": "2a09:8280:1::", "private_v6": "fdaa:0:1::"}.get(kind, "66.241.124.") + str(
            self._number
        )
        item = {"ip": address, "region": "global", "shared": kind == "shared_v4"}
        self.get(collection).append(item)
        return item


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


class Time:
    """A clock that moves only by its own sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
