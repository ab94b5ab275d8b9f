"""The stand-in flyctl without processes: children as tasks that outlive the wizard, with the real guard before them."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

import httpx

from flywizard import guard_rules
from flywizard.adapters.process import child_environment
from flywizard.guard import Guard
from flywizard.guard_upstream import LostError, Request, Whole
from flywizard.plan import Command
from flywizard.ports import Doubt, Ended, OnOutput
from flywizard.rehearsal import api as rehearsal_api
from flywizard.rehearsal import fly as stand_in
from flywizard.rehearsal.fly_core import Base, Cut
from flywizard.rehearsal.fly_core import Fly as FlyCommand
from flywizard.rehearsal.fly_http import DirectTransport
from flywizard.text import clean

if TYPE_CHECKING:
    from tests.support.inprocess import Life, Platform

SLOW = 3.0
"""Seconds that a slow body takes."""


class ApiTransport(httpx.AsyncBaseTransport):
    """httpx over the platform; ``before`` is called with each request."""

    def __init__(self, platform: Platform, before: Callable[[], None] = lambda: None) -> None:
        self._platform, self._before = platform, before

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._before()
        body = await request.aread()
        answer = await self._platform.handle(
            rehearsal_api.Request(
                request.method,
                request.url.path,
                dict(request.url.params),
                {k.lower(): v for k, v in request.headers.items()},
                body,
                tuple(request.url.params.multi_items()),
            )
        )
        self._before()
        match answer.transport:
            case "cut":
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            case "truncate":
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body"
                )
            case "hang":
                await asyncio.sleep(20.0)
                raise httpx.ReadTimeout("timed out")
            case "slow":
                await asyncio.sleep(SLOW)
            case "":
                pass
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)


class _Upstream:
    """The guard's way to Fly."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def send(self, request: Request, limit: float, *, fresh: bool = False) -> httpx.Response:
        pairs = parse_qsl(request.target.decode().partition("?")[2], keep_blank_values=True)
        headers = {k.decode(): v.decode() for k, v in request.headers if k != b"host"}
        answer = await self._platform.handle(
            rehearsal_api.Request(
                request.method, request.path, dict(pairs), headers, request.body, tuple(pairs)
            )
        )
        match answer.transport:
            case "cut" | "truncate":
                raise LostError("connection cut (Server disconnected)")
            case "hang":
                await asyncio.sleep(limit)
                raise LostError(f"no answer in {limit:g} s", late=True)
            case "slow":
                await asyncio.sleep(SLOW)
            case "":
                pass
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)

    async def whole(self, request: Request, limit: float, *, fresh: bool = False) -> Whole:
        answer = await self.send(request, limit)
        return Whole(answer.status_code, tuple(answer.headers.raw), answer.content)


class GuardedTransport(DirectTransport):
    """Requests of one guarded child, answered by the real guard's rules."""

    def __init__(self, platform: Platform, clock: Any, env: Mapping[str, str]) -> None:
        super().__init__(platform, clock=clock)
        loop = asyncio.get_running_loop()
        self.guard = Guard(env, sleep=asyncio.sleep, monotonic=loop.time)
        self.guard._upstream = _Upstream(platform)  # type: ignore[assignment]
        self.guard._ending = asyncio.Event()

    async def request(
        self, base: Base, method: str, path: str, body: object | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        from flywizard.rehearsal.fly_core import go_json

        payload = b"" if body is None else go_json(body, None).encode()
        sent = (
            (b"host", b"127.0.0.1:0"),
            *((k.lower().encode(), v.encode()) for k, v in headers.items()),
        )
        request = Request(method, path.encode(), sent, payload)
        rule = guard_rules.classify(method, request.path, payload)
        try:
            answer = await self.guard._answer(request, rule)
        except httpx.TransportError:
            raise Cut("EOF") from None
        raw = answer.body if isinstance(answer.body, bytes) else answer.body.content
        return answer.status, {k.decode(): v.decode() for k, v in answer.headers}, raw


@dataclass(slots=True)
class Attempt:
    """A child of a keeper: it runs on when the wizard is gone."""

    task: asyncio.Task[Ended]
    transport: DirectTransport
    lines: list[tuple[Literal["stdout", "stderr"], str]] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, on_output: OnOutput | None) -> Ended:
        """Hand the lines on until the child has ended."""
        told = 0
        while True:
            self.grown.clear()
            while told < len(self.lines):
                stream, text = self.lines[told]
                told += 1
                if on_output is not None:
                    on_output(stream, str(clean(text)))
            if self.task.done():
                return Ended(None, "", "") if self.task.cancelled() else self.task.result()
            more = asyncio.ensure_future(self.grown.wait())
            try:
                await asyncio.wait({self.task, more}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                more.cancel()


class KeptFly:
    """The ``Fly`` port of one wizard's life."""

    def __init__(self, platform: Platform, life: Life) -> None:
        self._platform, self._life = platform, life

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
        attempt: str = "",
        on_started: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Ended:
        self._life.check()
        if command.private or not command.changes:
            ended = await run_command(self._platform, command, stdin, lambda *_: None, self._life.check)
            self._life.check()
            return ended
        assert attempt not in self._platform.attempts, "an attempt has one child"
        child = start(self._platform, command, stdin, attempt)
        await asyncio.sleep(0)
        if on_started is not None:
            on_started({"pid": 4000 + len(self._platform.attempts), "start_time": "1"})
        ended = await child.follow(on_output)
        self._life.check()
        return ended

    async def settle(self, attempt: str, *, on_output: OnOutput | None = None) -> Ended | None:
        self._life.check()
        child = self._platform.attempts.get(attempt)
        return None if child is None else await child.follow(on_output)

    async def interrupt(self) -> None:
        for child in self._platform.attempts.values():
            if not child.task.done():
                child.transport.interrupted = "interrupt signal received"
                child.task.cancel()

    async def kill(self) -> None:
        for child in self._platform.attempts.values():
            child.task.cancel()


def start(platform: Platform, command: Command, stdin: bytes | None, attempt: str) -> Attempt:
    """Start a child under a keeper."""
    env = child_environment(platform.environ, command.env)
    transport: DirectTransport = (
        GuardedTransport(platform, platform.clock, env)
        if command.guarded and platform.guard
        else DirectTransport(platform, clock=platform.clock)
    )

    def tell(stream: Literal["stdout", "stderr"], text: str) -> None:
        child.lines.append((stream, text))
        child.grown.set()

    work = run_command(platform, command, stdin, tell, lambda: None, transport)
    child = Attempt(asyncio.create_task(work, name=f"keeper {attempt}"), transport)
    platform.attempts[attempt] = child
    return child


async def run_command(
    platform: Platform,
    command: Command,
    stdin: bytes | None,
    tell: Callable[[Literal["stdout", "stderr"], str], None],
    check: Callable[[], None],
    transport: DirectTransport | None = None,
) -> Ended:
    """Run one command line of the stand-in to its end."""
    env = child_environment(platform.environ, command.env)
    transport = transport or DirectTransport(platform, clock=platform.clock)
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    rest = {"stdout": "", "stderr": ""}

    def write(stream: Literal["stdout", "stderr"], text: str) -> None:
        texts[stream].append(text)
        *whole, rest[stream] = (rest[stream] + text).split("\n")
        for line in whole:
            tell(stream, line)

    timed_out = False
    code: int | None
    try:
        async with asyncio.timeout(command.timeout):
            code = await stand_in.main(
                command.argv[1:],
                env,
                stdin or b"",
                partial(write, "stdout"),
                partial(write, "stderr"),
                transport,
            )
    except TimeoutError:
        code, timed_out = None, True
    except Exception:
        platform.bugs.append(traceback.format_exc())
        code = 1
    check()
    doubts: tuple[Doubt, ...] = ()
    if isinstance(transport, GuardedTransport):
        doubts = tuple(Doubt(d["method"], d["path"], d["reason"]) for d in transport.guard.doubts)
    return Ended(
        code,
        "".join(texts["stdout"]),
        "".join(texts["stderr"]),
        bool(transport.interrupted),
        timed_out,
        doubts,
    )


def seeded(**fields: Any) -> FlyCommand:
    """The stand-in's state with jitter that is the same in each run."""
    return FlyCommand(rng=random.Random(7), **fields)
