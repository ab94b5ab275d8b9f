"""Replays a recording of the real flyctl against the stand-in: its answers in, what the stand-in does out."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywizard.rehearsal.fly import main
from flywizard.rehearsal.fly_core import Base, Cut
from tests.support.virtual_time import run_virtual

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
START = 1_767_225_600.0
ORIGIN = "http://fly.test"
PASSING = re.compile(r"0/1")


def macaroon() -> str:
    """A token that flyctl accepts; the recordings show it as `fm2_TOKEN`."""

    def text(raw: bytes) -> bytes:
        return b"\xc4" + bytes([len(raw)]) + raw

    place = b"https://api.fly.io/v1"
    raw = b"\x94\x93" + text(b"flysim") + text(bytes(16)) + b"\xc2" + bytes([0xA0 | len(place)]) + place
    return "fm2_" + base64.b64encode(raw + b"\x90" + text(bytes(32))).decode()


TOKEN = macaroon()


def recording(name: str) -> dict[str, Any]:
    """One recording."""
    found: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def root_fields(query: str) -> list[str]:
    """The root fields of a GraphQL query, aliases taken off."""
    depth, fields, word, words = 0, [], "", re.findall(r'"[^"]*"|[\w$!]+|[{}():,]', query)
    parens = 0
    for index, word in enumerate(words):
        if word == "(":
            parens += 1
        elif word == ")":
            parens -= 1
        elif parens:
            continue
        elif word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
        elif depth == 1 and re.match(r"\w", word):
            following = words[index + 1] if index + 1 < len(words) else ""
            if following != ":":
                fields.append(word)
    return fields


@dataclass
class RecordedTransport:
    """Answers requests with what the recording holds for them, in virtual time."""

    answers: dict[tuple[str, ...], list[dict[str, Any]]]
    spare: Callable[[str, str, Any], tuple[int, Any] | None]
    cut: str = ""
    origin: str = ORIGIN
    interrupted: str = ""
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    latency: float = 0.0
    """Seconds that an answer takes; it decides what a signal interrupts."""
    browser: bool = False
    """Whether a browser comes back to the port that the login names."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    may_hang: bool = False
    """A request without a recorded answer was cancelled in the recording: it waits for ever."""

    def url(self, base: Base, path: str) -> str:
        return self.origin + path

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()

    def time(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def request(
        self, base: Base, method: str, path: str, body: object | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        shown = graphql_form(body) if path == "/graphql" else body
        self.sent.append((method, path, copy.deepcopy(shown)))
        if self.browser and path.endswith("/cli_sessions"):
            self.tasks.append(asyncio.ensure_future(browse(shown)))
        if self.cut:
            raise Cut(self.cut)
        queue = self.answers.get(key_of(method, path, shown))
        if not queue:
            found = self.spare(method, path, shown)
            if found is None and self.may_hang:
                await asyncio.Event().wait()
            if found is None:
                raise AssertionError(f"the recording holds no answer to {method} {path} {shown}")
            return found[0], {}, json.dumps(found[1]).encode()
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        at = answer.pop("at_ms", None)
        if at is not None:
            await asyncio.sleep(max(0.0, at / 1000 - asyncio.get_running_loop().time()) + self.latency)
        body_out = answer.get("response_body")
        if answer["status"] == 0:
            raise Cut(answer.get("cut", "EOF"))
        if answer.get("truncated"):
            raise Cut("unexpected EOF", in_body=True)
        if answer["status"] == 408 and "timed out waiting" in str(body_out):
            waited = int((re.search(r"timeout=(\d+)", path) or ["", "0"])[1])
            await asyncio.sleep(waited)
        raw = body_out if isinstance(body_out, str) else json.dumps(body_out)
        return (
            answer["status"],
            {"fly-request-id": "01SIMREQUEST-ams"},
            (raw if body_out is not None else "").encode(),
        )


async def browse(session: Any) -> None:
    """Plays the browser that is sent back to the command's own port."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", session["redirect_port"])
        except OSError:
            continue
        break
    await asyncio.sleep(0.05)
    writer.write(f"GET /callback?state={session['state']}&code=GOODCODE HTTP/1.1\r\n\r\n".encode())
    await reader.read()
    writer.close()
    await writer.wait_closed()


def graphql_form(body: Any) -> dict[str, Any]:
    """A GraphQL request as the recordings store it."""
    return {
        "operation": body.get("operationName"),
        "root": root_fields(body["query"]),
        "variables": body.get("variables"),
    }


def key_of(method: str, path: str, body: Any) -> tuple[str, ...]:
    """What answers are looked up by."""
    if path == "/graphql" and isinstance(body, dict):
        names = [
            f"{k}={v}" for k, v in sorted((body.get("variables") or {}).items()) if k in ("imageRef", "limit")
        ]
        return (method, path, str(body.get("operation")), *body.get("root", []), *names)
    return (method, path)


def answers_of(found: dict[str, Any]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The recording's answers by request; folded ones are unfolded.

    Of a folded poll only the last answer was kept. The ones before it are made: a machine's checks do not pass
    yet (where the recording shows `0/1`), a cluster is still being created.
    """
    queues: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    configs: dict[str, Any] = {}
    shown = (found.get("stdout") or "") + (found.get("stderr") or "")
    for exchange in found.get("exchange", []):
        exchange = copy.deepcopy(exchange)
        _restore(exchange.get("response_body"), configs)
        queue = queues.setdefault(key_of(exchange["method"], exchange["path"], exchange["request_body"]), [])
        for index in range(int(exchange.get("repeat") or 1)):
            answer = copy.deepcopy(exchange)
            last = index == int(exchange.get("repeat") or 1) - 1
            if index:
                answer.pop("at_ms", None)
            if not last and isinstance(answer["response_body"], dict):
                if PASSING.search(shown):
                    for check in answer["response_body"].get("checks") or []:
                        check["status"] = "warning"
                if (
                    "/postgresv2/" in answer["path"]
                    and answer["status"] == 200
                    and "Waiting for cluster" in shown
                    and not index
                ):
                    answer["response_body"]["data"]["status"] = "creating"
            queue.append(answer)
    return queues


def _restore(body: Any, configs: dict[str, Any]) -> None:
    """Puts machine configurations back where the recording says `(as before)`."""
    for machine in body if isinstance(body, list) else [body]:
        if isinstance(machine, dict) and "config" in machine and "id" in machine:
            if machine["config"] == "(as before)":
                machine["config"] = copy.deepcopy(configs.get(machine["id"], {}))
            elif isinstance(machine["config"], dict):
                configs[machine["id"]] = machine["config"]


@dataclass
class Played:
    """What the stand-in did."""

    code: int
    stdout: str
    stderr: str
    both: str
    sent: list[tuple[str, str, Any]]


def play(
    found: dict[str, Any],
    directory: Path,
    *,
    spare: Callable[[str, str, Any], tuple[int, Any] | None] = lambda *_: None,
    config: str = "",
    change: Callable[[RecordedTransport], None] = lambda _: None,
) -> Played:
    """Runs the stand-in with a recording's command line, environment, input, signal and answers."""
    project = directory / "PROJECT"
    if not project.exists():
        shutil.copytree(RECORDINGS / "project", project)
    settings = directory / "CONFIG_DIR"
    settings.mkdir(exist_ok=True)
    config = config or _minvers(found)
    if config:
        (settings / "config.yml").write_text(config, encoding="utf-8")
    env: dict[str, str] = {
        "FLY_CONFIG_DIR": str(settings),
        "FLY_API_TOKEN": f"FlyV1 {TOKEN}",
        "FLY_EMIT_RELEASE_JSON": "1",
        "NO_COLOR": "1",
        "HOME": str(directory),
    }
    for name, value in (found.get("env") or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value.replace("fm2_TOKEN", TOKEN)
    argv = [word.replace("/PROJECT", str(project)) for word in found["argv"][1:]]
    stdin = re.sub(r"<(\d+) x>", lambda m: "x" * int(m[1]), found.get("stdin") or "")
    transport = RecordedTransport(answers_of(found), spare, may_hang=found["exit_code"] in (127, None))
    transport.latency = 0.03 if found.get("signal") else 0.0
    transport.browser = "callback" in found["name"]
    if "truncated" in found["name"]:
        next(iter(transport.answers.values()))[0]["truncated"] = True
    change(transport)
    outputs: dict[str, list[str]] = {"O": [], "E": []}
    both: list[str] = []

    def writer(stream: str) -> Callable[[str], None]:
        def write(text: str) -> None:
            outputs[stream].append(text)
            both.append(text)

        return write

    fed = [text for _, text in found.get("fed") or [] if text != "\x03"]

    async def read_line() -> str:
        if not fed:
            await asyncio.Event().wait()
        both.append(fed[0])
        return str(fed.pop(0))

    terminal = (bool(found.get("pty")), bool(found.get("pty")) and not found.get("stdout"))
    code = run_virtual(
        _with_signal(
            found,
            transport,
            main(
                argv,
                env,
                stdin.encode(),
                writer("O"),
                writer("E"),
                transport,
                terminal=terminal,
                read_line=read_line,
            ),
        )
    )

    def shown(parts: list[str]) -> str:
        text = "".join(parts).replace(str(project), "/PROJECT").replace(TOKEN, "fm2_TOKEN")
        return re.sub(r"\(Trace ID: [0-9a-f]{32}\)", "(Trace ID: TRACE)", text)

    sent = json.loads(
        json.dumps(transport.sent, ensure_ascii=False)
        .replace(str(project), "/PROJECT")
        .replace(TOKEN, "fm2_TOKEN")
    )
    return Played(code, shown(outputs["O"]), shown(outputs["E"]), shown(both), [tuple(s) for s in sent])


def _minvers(found: dict[str, Any]) -> str:
    """The secrets version that the recording's configuration directory knew, as its requests tell."""
    for exchange in found.get("exchange", []):
        seen = re.search(r"/apps/([^/]+)/secrets\?version=(\d+)", exchange["path"])
        app = re.search(r"/apps/([^/]+)/machines", exchange["path"])
        body = exchange.get("request_body")
        version = (
            int(seen[2])
            if seen
            else body.get("min_secrets_version")
            if isinstance(body, dict) and app
            else None
        )
        if version and found["argv"][1:3] not in (["secrets", "set"], ["secrets", "import"]):
            return f"app_secrets_minvers:\n    {(seen or app)[1]}: {version}\n"  # type: ignore[index]
    return ""


async def _with_signal(found: dict[str, Any], transport: RecordedTransport, work: Awaitable[int]) -> int:
    task = asyncio.ensure_future(work)
    signal = found.get("signal")
    if found.get("fed") and found["fed"][-1][1] == "\x03":
        signal = {"name": "SIGINT", "at_ms": 574}
    if signal:
        word = {"SIGINT": "interrupt", "SIGTERM": "terminated"}.get(signal["name"])

        def strike() -> None:
            if word is None:
                task.cancel()
            elif not task.done():
                transport.interrupted = f"{word} signal received"
                task.cancel()

        asyncio.get_running_loop().call_at(signal["at_ms"] / 1000, strike)
    elif found["exit_code"] is None:
        asyncio.get_running_loop().call_at(found["wall_ms"] / 1000, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return -9
