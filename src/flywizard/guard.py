"""Owns the loopback guard between flyctl and Fly: nothing is created twice, one bad answer fails no deploy.

One guard serves one child and lives in its keeper. flyctl never sees 502, 503 or a cut connection on a request
that creates something: the guard looks, and answers with what it found, or refuses as in doubt.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h11
import httpx

from flywizard import guard_rules as rules
from flywizard.guard_rules import Create, Limits, Once, Refuse, Repeat, Rule
from flywizard.guard_upstream import (
    Headers,
    LostError,
    Request,
    UnsentError,
    Upstream,
    Whole,
    passed_on,
    request_id,
)
from flywizard.guard_wire import Answer, read, still_there, write

_JSON: Headers = ((b"content-type", b"application/json"),)


class Guard:
    """The server. ``start``, then ``close`` after the child has ended; ``doubts`` holds what stayed open."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        token: str | None = None,
        journal: Path | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        """Take the child's environment (where Fly is, its token) and a file for the journal of requests."""
        self.doubts: list[dict[str, str]] = []
        self.settled: list[dict[str, str]] = []
        """What was answered with something found: a fault that flyctl never saw."""
        self.port = 0
        self._environment = environment
        self._limits = limits or Limits()
        self._sleep = sleep
        self._monotonic = monotonic
        self._verify = verify
        known = token or environment.get("FLY_ACCESS_TOKEN") or environment.get("FLY_API_TOKEN") or ""
        self._known = rules.token_parts(known)
        self._journal = journal
        self._locks: dict[str, asyncio.Lock] = {}
        self._creating: set[asyncio.Task[Answer]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen on a free port of 127.0.0.1 and return it."""
        self._upstream = Upstream(self._environment, self._limits, self._verify)
        self._ending = asyncio.Event()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def drain(self) -> None:
        """Let every creating request finish; looks for what was created end now."""
        self._ending.set()
        while self._creating:
            await asyncio.wait(self._creating)

    async def close(self) -> None:
        """Stop. A creating request that is still open becomes a doubt."""
        self._ending.set()
        self._server.close()
        for tasks in (self._creating, self._connections):
            pending = list(tasks)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        await self._server.wait_closed()
        await self._upstream.close()

    # ── what a request is answered ──

    async def _answer(self, request: Request, rule: Rule) -> Answer:
        refused = self._strange(request)
        if refused:
            status, text = refused
            return _refusal(request.path, text, status)
        match rule:
            case Refuse(text):
                return _refusal(request.path, text)
            case Repeat():
                return await self._repeat(request, rule)
            case Create() | Once():
                lock = self._locks.setdefault(
                    request.path if isinstance(rule, Create) else "", asyncio.Lock()
                )
                try:
                    if isinstance(rule, Once):
                        return await self._once(request, rule, None)
                    async with lock:  # two at a time could not be told apart by what is new
                        return await self._once(request, rule, await self._look(rule, request, patient=True))
                except BaseException as error:
                    ended = isinstance(error, asyncio.CancelledError)
                    self._doubt(request, "given up before the answer came" if ended else type(error).__name__)
                    raise

    def _strange(self, request: Request) -> tuple[int, str] | None:
        if request.header(b"host") not in {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}:
            return 403, "flywizard-guard: not for this host"
        header = request.header(b"authorization")
        if self._known and not rules.same_token(self._known, header):
            if header and not rules.token_parts(header):
                # flyctl drops a token that it holds to be expired and sends an empty one
                return 401, "flywizard-guard: flyctl sent no token"
            return 403, "flywizard-guard: not the token of this run"
        return None

    async def _once(
        self, request: Request, rule: Create | Once, before: tuple[rules.Json, ...] | None
    ) -> Answer:
        begun = self._monotonic()
        limit = self._limits.create
        late = False
        try:
            whole = await self._unless_unsent(request, limit)
        except UnsentError as error:
            return _refusal(
                request.path, f"flywizard-guard: not sent: {error}", 500 if error.certificate else 504
            )
        except LostError as error:
            reason, late = str(error), error.late
        else:
            if not rules.in_doubt(whole.status):
                return Answer(whole.status, whole.headers, whole.body)
            reason = f"{whole.status}{request_id(whole.headers)}"
            late = whole.status in {408, 504}
        if isinstance(rule, Create) and before is not None:
            settled = await self._settle(rule, request, before, begun + self._limits.late if late else begun)
            if isinstance(settled, Answer):
                settled.note = f"{reason}, {settled.note}"
                self.settled.append({"method": request.method, "path": request.path, "reason": settled.note})
                return settled
            reason += f", {settled}"
        return self._doubt(request, reason)

    async def _unless_unsent(self, request: Request, limit: float) -> Whole:
        """Send once; what never left may be tried again."""
        first = self._monotonic()
        for wait in (*self._limits.repeats, None):
            try:
                return await self._upstream.whole(request, limit, fresh=True)
            except UnsentError as error:
                if error.certificate or wait is None:
                    raise
                if self._monotonic() + wait > first + self._limits.patience or not await self._pause(wait):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _settle(
        self, create: Create, request: Request, before: tuple[rules.Json, ...], deadline: float
    ) -> Answer | str:
        """Look for the one new thing, until the looks are used up and the deadline has passed."""
        waits = iter(self._limits.looks)
        looks = 0
        while True:
            wait = next(waits, None)
            if wait is None:
                left = deadline - self._monotonic()
                if left <= 0:
                    return f"nothing new in {looks} looks"
                wait = min(left, self._limits.looks[-1])
            if not await self._pause(wait):
                return "flyctl ended"
            looks += 1
            after = await self._look(create, request, patient=False)
            new = rules.found(create, before, after or ())
            if len(new) > 1:
                return f"{len(new)} new ones"
            if new:
                nonce = await self._nonce(create, request, new[0])
                status, body = rules.answer(create, new[0], nonce)
                return Answer(status, _JSON, body, "settled by look-up")

    async def _look(
        self, create: Create, request: Request, *, patient: bool
    ) -> tuple[rules.Json, ...] | None:
        got = await self._get(request.look(create.look), patient=patient)
        return None if got is None else rules.items(create.kind, *got)

    async def _get(self, look: Request, *, patient: bool) -> tuple[int, bytes] | None:
        try:
            if not patient:
                whole = await self._upstream.whole(look, self._limits.other)
                return whole.status, whole.body
            answer = await self._repeat(look, Repeat(server_error=True))
            if isinstance(answer.body, bytes):
                return answer.status, answer.body
            try:
                return answer.status, await answer.body.aread()
            finally:
                await answer.body.aclose()
        except (UnsentError, LostError, httpx.HTTPError):
            return None

    async def _nonce(self, create: Create, request: Request, item: rules.Json) -> str | None:
        if create.kind != "machine" or not create.wanted.get("lease_ttl"):
            return None
        got = await self._get(request.look(f"{create.look}/{item.get('id')}/lease"), patient=True)
        if got is None or got[0] != 200:
            return None
        try:
            nonce = json.loads(got[1])["data"]["nonce"]
        except (ValueError, KeyError, TypeError):
            return None
        return nonce if isinstance(nonce, str) else None

    async def _repeat(self, request: Request, rule: Repeat) -> Answer:
        limits = self._limits
        machine = rules.is_machine_get(request.method, request.path)
        patience = limits.machine_patience if machine else limits.patience
        limit = rules.time_limit(rule, request.method, request.path, limits)
        first: float | None = None
        done = 0
        while True:
            response: httpx.Response | None = None
            asked: float | None = None
            try:
                response = await self._upstream.send(request, limit)
            except UnsentError as error:
                if error.certificate:
                    return _refusal(request.path, f"flywizard-guard: {error}")
                fault = str(error)
            except LostError as error:
                fault = str(error)
            else:
                fault = f"{response.status_code}{request_id(response.headers)}"
                if not rules.must_repeat(rule, response.status_code, done, limits):
                    return Answer(response.status_code, passed_on(response), response, _repeats(done))
                asked = rules.retry_after(response.headers.get("retry-after"), time.time())
            now = self._monotonic()
            first = now if first is None else first
            if asked is not None and not machine:
                patience = max(patience, limits.retry_after)
            wait = asked if asked is not None else limits.repeats[min(done, len(limits.repeats) - 1)]
            over = done >= len(limits.repeats) or now + wait > first + patience
            if over or not await self._pause(wait):
                if response is not None and response.status_code not in {502, 503}:
                    return Answer(response.status_code, passed_on(response), response, _repeats(done))
                if response is not None:
                    await response.aclose()
                text = f"flywizard-guard: no answer: {request.method} {request.path} {fault}"
                answer = _refusal(request.path, text, 504)
                answer.note = f"{fault}{', ' if done else ''}{_repeats(done)}"
                return answer
            if response is not None:
                await response.aclose()
            done += 1

    def _doubt(self, request: Request, reason: str) -> Answer:
        self.doubts.append({"method": request.method, "path": request.path, "reason": reason})
        text = f"flywizard-guard: in doubt: {request.method} {request.path} {reason}"
        answer = _refusal(request.path, text)
        answer.note = f"in doubt: {reason}"
        return answer

    async def _pause(self, seconds: float) -> bool:
        """Wait; False as soon as the child has ended."""
        tasks = {asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._ending.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return not self._ending.is_set()

    # ── the server ──

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, h11.ProtocolError, httpx.HTTPError):
            pass  # closing without an end is how a cut answer is passed on
        except asyncio.CancelledError:
            pass  # only close() cancels; asyncio would log it otherwise
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while True:
            request = await read(connection, reader, writer)
            if request is None:
                return
            started = self._monotonic()
            rule = rules.classify(request.method, request.path, request.body)
            task = asyncio.create_task(self._answer(request, rule))
            creates = isinstance(rule, Create | Once)
            if creates:
                self._creating.add(task)
                task.add_done_callback(self._creating.discard)
            try:
                stays = await still_there(connection, reader, task)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if not stays and not creates:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._note(request, 0, started, 0, "dropped by flyctl")
                return
            answer = await asyncio.shield(task)
            try:
                size = await write(connection, writer, answer, request.method) if stays else 0
            except (ConnectionError, h11.ProtocolError, httpx.HTTPError) as error:
                self._note(request, answer.status, started, 0, f"cut: {type(error).__name__}")
                raise
            self._note(request, answer.status, started, size, answer.note if stays else "dropped by flyctl")
            if not stays or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    def _note(self, request: Request, status: int, started: float, size: int, note: str) -> None:
        if self._journal is None:
            return
        entry: dict[str, Any] = {"method": request.method, "path": request.path, "status": status}
        if request.path == "/graphql":
            entry["field"] = ",".join(rules.graphql_operation(request.body)[1])
        entry |= {"ms": round((self._monotonic() - started) * 1000), "size": size, "note": note}
        with suppress(OSError):
            handle = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, json.dumps(entry).encode() + b"\n")
            finally:
                os.close(handle)


def _repeats(done: int) -> str:
    return f"repeated {done}" if done else ""


def _refusal(path: str, text: str, status: int = 500) -> Answer:
    code, body = rules.refusal(path, text, status)
    return Answer(code, _JSON, body, text.removeprefix("flywizard-guard: "))


class GuardThread:
    """A guard with an event loop of its own, for a keeper that has none."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        token: str | None,
        journal: Path,
        limits: Limits | None = None,
    ) -> None:
        self._guard = Guard(environment, token=token, journal=journal, limits=limits)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="guard", daemon=True)

    def start(self) -> int:
        """Return the port that it listens on."""
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._guard.start(), self._loop).result()

    def close(self, hurry: Callable[[], bool]) -> dict[str, list[dict[str, str]]]:
        """Let creating requests finish unless ``hurry()`` becomes true, stop, and return what to record.

        Call it only after the child has ended: whoever takes the free port would receive its token.
        """
        drained = asyncio.run_coroutine_threadsafe(self._guard.drain(), self._loop)
        while not hurry():
            with suppress(TimeoutError):
                drained.result(timeout=0.2)
                break
        drained.cancel()
        asyncio.run_coroutine_threadsafe(self._guard.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        return {"doubts": self._guard.doubts, "settled": self._guard.settled}
