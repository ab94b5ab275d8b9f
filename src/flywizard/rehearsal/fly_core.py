"""What every command of the stand-in `fly` shares: requests, failures, Go-shaped output.

Standard library only, and little of it: the process has to be up in well under 100 ms.
The behaviour is that of flyctl 0.4.87 (its traps included): 502 and 503 are repeated, `Retry-After`
is ignored, no request has a time limit, and texts are what the real command prints.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from flywizard.rehearsal.fly_settings import Settings, Tokens

VERSION = "0.4.87"
Base = Literal["api", "flaps", "uiex"]
Json = Any
REPEATED = (502, 503)


class Transport(Protocol):
    """The way to the platform and its clock; times are seconds of World time."""

    interrupted: str
    """Text of the signal that ended the command (`interrupt signal received`), else empty."""

    async def request(
        self, base: Base, method: str, path: str, body: object | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Sends one request; raises `Cut` when no whole answer comes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits in World time."""
        ...

    def now(self) -> float:
        """A clock for durations, in seconds of World time."""
        ...

    def time(self) -> float:
        """The time of day, in Unix seconds, as the platform's time stamps have it."""
        ...

    def url(self, base: Base, path: str) -> str:
        """The URL a request goes to, for error texts."""
        ...


class Cut(ConnectionError):  # noqa: N818 (Go reports it as a text, not as a failure of its own)
    """No answer, or half of one. `reason` is Go's text for it; `in_body` when the answer had begun."""

    def __init__(self, reason: str, *, in_body: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.in_body = in_body


class Failure(Exception):  # noqa: N818 (it is the end of a command, not a bug)
    """The command fails: `text` follows `Error: `, `more` are the paragraphs after it."""

    def __init__(self, text: str, *, more: str = "", request_id: str = "", trace: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.more = more
        self.request_id = request_id
        self.trace = trace

    def wrapped(self, prefix: str) -> Failure:
        """The same failure with `prefix` before its text."""
        return Failure(prefix + self.text, more=self.more, request_id=self.request_id, trace=self.trace)


class Canceled(Exception):  # noqa: N818
    """The command ends with 127: a signal, or a context that flyctl cancelled by itself."""


class Crash(Exception):  # noqa: N818
    """flyctl panics: exit 3 and a trace on stdout."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the platform."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Json:
        """The body as JSON; None when it is not."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None

    @property
    def request_id(self) -> str:
        """The platform's name for the request, printed with errors."""
        return next((v for k, v in self.headers.items() if k.lower() == "fly-request-id"), "")


SUGGESTIONS = {
    "insufficient_capacity": "Try choosing a different region for machine creation",
    "name_taken": (
        "App names are unique across all of Fly.io, not just your organization, so this name may be held by"
        " an app you cannot see. Try a different name."
    ),
}


@dataclass(slots=True)
class Fly:
    """One run of the command: its words, its surroundings and its way to the platform."""

    words: tuple[str, ...]
    args: list[str]
    flags: Mapping[str, Any]
    env: Mapping[str, str]
    stdin: bytes
    out: Callable[[str], None]
    err: Callable[[str], None]
    transport: Transport
    settings: Settings
    tokens: Tokens
    stdin_is_terminal: bool = False
    stdout_is_terminal: bool = False
    in_deploy: bool = False
    repeats: int = 3
    read_line: Callable[[], Awaitable[str]] | None = None
    nonces: dict[str, str] = field(default_factory=dict)
    """Leases held, by the path of their machine."""
    rng: random.Random = field(default_factory=random.Random)

    # -- flags ---------------------------------------------------------------------------------

    def flag(self, name: str, default: str = "") -> str:
        """A text flag, or its default."""
        value = self.flags.get(name)
        return default if value is None else str(value)

    def on(self, name: str) -> bool:
        """A switch."""
        return bool(self.flags.get(name))

    @property
    def json_wanted(self) -> bool:
        """Whether `--json` or `FLY_JSON` is set."""
        return self.on("json") or self.env.get("FLY_JSON", "") in ("1", "true")

    def app(self) -> str:
        """The app: flag, variable, or the file in the working directory."""
        name = self.flag("app") or self.env.get("FLY_APP", "")
        if name:
            return name
        from flywizard.rehearsal.fly_config import app_of_directory

        name = app_of_directory(self.flag("config"))
        if not name:
            raise Failure(
                "the config for your app is missing an app name, add an app field to the fly.toml file or"
                " specify with the -a flag"
            )
        return name

    def org(self) -> str:
        """The organisation's slug from flag or variable; empty when there is none."""
        return self.flag("org") or self.env.get("FLY_ORG") or self.env.get("FLY_ORGANIZATION") or ""

    def region(self) -> str:
        """The region's code from flag or variable; empty when there is none."""
        return self.flag("region") or self.env.get("FLY_REGION", "")

    # -- output --------------------------------------------------------------------------------

    def print(self, text: str = "") -> None:
        """One line on stdout."""
        self.out(text + "\n")

    def eprint(self, text: str = "") -> None:
        """One line on stderr."""
        self.err(text + "\n")

    def print_json(self, value: Json) -> None:
        """JSON as `render.JSON` writes it."""
        self.out(go_json(value) + "\n")

    def warn(self, text: str) -> None:
        """`terminal.Warn`: on stdout, coloured, with an empty line after it."""
        self.out(f"\x1b[33mWARN\x1b[0m {text}\n\n")

    def info(self, text: str) -> None:
        """`terminal.Info`: on stdout, coloured, with an empty line after it."""
        self.out(f"\x1b[2mINFO\x1b[0m {text}\n\n")

    # -- requests ------------------------------------------------------------------------------

    async def send(self, base: Base, method: str, path: str, body: object | None = None) -> Answer:
        """One request, repeated on 502 and 503 up to three times like the real client does.

        Raises:
            Cut: there is no whole answer.
        """
        headers = {"Authorization": self.tokens.header(base)}
        machine = "/".join(path.partition("?")[0].split("/")[:6])
        if base == "flaps" and method != "GET" and machine in self.nonces:
            headers["fly-machine-lease-nonce"] = self.nonces[machine]
        for attempt in range(1 + self.repeats):
            status, answer_headers, raw = await self.transport.request(base, method, path, body, headers)
            if status not in REPEATED or attempt == self.repeats:
                break
            await self.transport.sleep(0.05 + self.rng.random() * 0.1 * (attempt + 1))
        return Answer(status, answer_headers, raw)

    def cut_text(self, base: Base, method: str, path: str, cut: Cut) -> str:
        """Go's text for a request that got no answer."""
        if cut.in_body:
            return f"reading body: {cut.reason}"
        return f'{method.capitalize()} "{self.transport.url(base, path)}": {cut.reason}'

    async def gql(self, query: str, variables: Mapping[str, Any] | None = None) -> Json:
        """One of fly-go's hand-written queries; its errors quote the whole query.

        Raises:
            Failure: refused, failed, or no answer.
        """
        body: dict[str, Any] = {"query": query}
        if variables is not None:
            body["variables"] = dict(variables)
        what = f"failed to run {query}: "
        try:
            answer = await self.send("api", "POST", "/graphql", body)
        except Cut as cut:
            raise Failure(what + self.cut_text("api", "POST", "/graphql", cut)) from None
        if answer.status != 200:
            raise Failure(f"{what}server returned a non-200 status code: {answer.status}")
        parsed = answer.json()
        if not isinstance(parsed, dict):
            raise Failure(f"{what}reading body: unexpected EOF")
        if parsed.get("errors"):
            raise Failure(what + str(parsed["errors"][0].get("message", "")))
        return parsed.get("data") or {}

    async def gql_named(self, operation: str, query: str, variables: Mapping[str, Any]) -> Json:
        """One of genqlient's queries, which carry an operation name.

        Raises:
            Failure: refused, failed, or no answer.
        """
        body = {"query": query, "variables": dict(variables), "operationName": operation}
        try:
            answer = await self.send("api", "POST", "/graphql", body)
        except Cut as cut:
            raise Failure(self.cut_text("api", "POST", "/graphql", cut)) from None
        if answer.status != 200:
            raise Failure(f"returned error {answer.status}: {answer.text()}")
        parsed = answer.json() or {}
        if parsed.get("errors"):
            first = parsed["errors"][0]
            path = ".".join(str(p) for p in first.get("path") or ())
            raise Failure(f"input:3: {path + ' ' if path else ''}{first.get('message', '')}")
        return parsed.get("data") or {}

    async def flaps(self, method: str, path: str, body: object | None = None, *, what: str = "") -> Json:
        """One request of the Machines API; `what` is put before an error's text.

        Raises:
            Failure: not a 2xx answer, or none.
        """
        answer = await self.flaps_answer(method, path, body, what=what)
        return answer.json()

    async def flaps_answer(
        self, method: str, path: str, body: object | None = None, *, what: str = ""
    ) -> Answer:
        """As `flaps`, but gives the whole answer."""
        prefix = f"{what}: " if what else ""
        try:
            answer = await self.send("flaps", method, path, body)
        except Cut as cut:
            raise Failure(prefix + self.cut_text("flaps", method, path, cut)) from None
        if not 200 <= answer.status < 300:
            failure = flaps_failure(answer)
            failure.trace = self.in_deploy
            raise failure.wrapped(prefix)
        return answer

    async def uiex(
        self, method: str, path: str, body: object | None = None, *, what: str, ok: Sequence[int] = (200,)
    ) -> Json:
        """One request of the web API; an error is `failed to WHAT (status N): BODY`.

        Raises:
            Failure: another status than those in `ok`, or no answer.
        """
        try:
            answer = await self.send("uiex", method, "/api/v1" + path, body)
        except Cut as cut:
            raise Failure(self.cut_text("uiex", method, "/api/v1" + path, cut)) from None
        if answer.status not in ok:
            raise Failure(f"failed to {what} (status {answer.status}): {answer.text()}")
        return answer.json()


class StatusFailure(Failure):
    """A failure that knows the HTTP status behind it."""

    status = 0

    def wrapped(self, prefix: str) -> Failure:
        """The same failure with `prefix` before its text."""
        made = StatusFailure(prefix + self.text, more=self.more, request_id=self.request_id, trace=self.trace)
        made.status = self.status
        return made


def flaps_failure(answer: Answer) -> StatusFailure:
    """The failure that a non-2xx answer of the Machines API becomes."""
    body = answer.json()
    if isinstance(body, dict) and ("error" in body or "message" in body):
        text = str(body.get("message") or body.get("error"))
        more = SUGGESTIONS.get(str(body.get("status", "")), "")
    else:
        text = f"request returned non-2xx status: {answer.status}: {answer.text()}"
        more = ""
    failure = StatusFailure(text, more=more, request_id=answer.request_id)
    failure.status = answer.status
    return failure


def go_json(value: Json, indent: int | None = 4) -> str:
    """JSON as Go's encoder writes it: HTML signs escaped, other characters as they are."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    for sign, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(sign, escaped)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as flyctl's table writer aligns them: cells padded, joined by a light line."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        " " + " │ ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " "
        for row in rows
    )
    return "\n".join(lines) + "\n\n"


def seconds_of(text: str) -> float:
    """A Go duration (`1m30s`, `500ms`) or a bare number of seconds, in seconds.

    Raises:
        ValueError: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    import re

    parts = re.findall(r"([\d.]+)(ms|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f'time: invalid duration "{text}"')
    unit = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(n) * unit[u] for n, u in parts)


def duration_text(seconds: float) -> str:
    """Seconds as Go prints a duration: `30s`, `1m0s`, `720h0m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    whole, rest = int(seconds), seconds - int(seconds)
    hours, minutes, secs = whole // 3600, whole % 3600 // 60, whole % 60
    tail = f"{secs + rest:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def trace_id(fly: Fly) -> str:
    """A trace id as deploy prints it with errors."""
    return f"{fly.rng.getrandbits(128):032x}"


def print_failure(fly: Fly, failure: Failure) -> None:
    """`Error: …` on stderr, with the ids and the paragraphs after it."""
    ids = f" (Request ID: {failure.request_id})" if failure.request_id else ""
    if failure.request_id and failure.trace:
        ids += f" (Trace ID: {trace_id(fly)})"
    fly.eprint(f"Error: {failure.text}{ids}")
    if failure.more:
        fly.err(failure.more + "\n\n")
