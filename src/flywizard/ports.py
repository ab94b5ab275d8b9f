"""Owns the border between the steps and the world: what a step may ask for, as protocols.

Adapters fulfil them for real, the rehearsal's in-process ports and the tests' fakes for the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from flywizard.plan import Command
from flywizard.vault import Secret

OnOutput: TypeAlias = Callable[[Literal["stdout", "stderr"], str], None]
"""Called for each whole line, clean and masked."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A creating request whose fate the guard could not settle."""

    method: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int | None
    """Exit status; negative: killed by that signal; None: nobody knows (keeper lost)."""
    stdout: str
    stderr: str
    """Whole texts. Of a changing command masked; of a looking one raw, so never put into an event."""
    signalled: bool = False
    """We sent it a signal."""
    timed_out: bool = False
    doubts: tuple[Doubt, ...] = ()


class Fly(Protocol):
    """Runs flyctl."""

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
        attempt: str = "",
        on_started: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Ended:
        """Run a command to its end.

        A changing command is run by a keeper under the name ``attempt``; ``on_started`` gets
        {"pid", "start_time", "keeper_pid", "keeper_start_time"} when it runs. Cancelling the coroutine
        leaves a changing child alone (the keeper holds it); ``interrupt`` stops it.

        Raises:
            FileNotFoundError: no flyctl.
        """
        ...

    async def settle(self, attempt: str, *, on_output: OnOutput | None = None) -> Ended | None:
        """Follow a child that an earlier wizard started until it has ended; None: it never started."""
        ...

    async def interrupt(self) -> None:
        """Ask every changing child of this run to stop (SIGINT once)."""
        ...

    async def kill(self) -> None:
        """End every changing child of this run at once; what it did is in doubt."""
        ...


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as the Machines API shows it; unknown fields are dropped."""

    id: str
    state: str
    region: str = ""
    group: str = ""
    """Process group, from ``config.metadata.fly_process_group``."""
    image: str = ""
    """``config.image``, e.g. ``registry.fly.io/helpdesk-api:src-…``."""
    env: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[tuple[str, str, str], ...] = ()
    """(name, status, output)."""
    events: tuple[Mapping[str, Any], ...] = ()
    """Newest first, as sent."""
    host_status: str = "ok"
    release_version: str = ""
    memory_mb: int = 0
    created_at: str = ""
    standby: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an app's log."""

    id: str
    time: str
    """RFC 3339."""
    text: str
    level: str = ""
    instance: str = ""
    provider: str = ""


class LookError(Exception):
    """A look at Fly failed; ``status`` is the HTTP status, 0 without an answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Look(Protocol):
    """Looks at Fly over HTTP; never changes anything. Raises LookError."""

    async def app(self, name: str) -> Literal["absent", "foreign"] | Mapping[str, Any]:
        """Return the app object, "absent" (404) or "foreign" (403)."""
        ...

    async def organization(self, slug: str) -> Mapping[str, Any]:
        """Return the organisation: {"billable", "billing_status", "paid_plan", …}."""
        ...

    async def machines(self, app: str) -> Sequence[Machine]:
        """Return the app's machines, without destroyed ones; [] for an unknown app."""
        ...

    async def secrets(self, app: str) -> Mapping[str, str]:
        """Return name to digest."""
        ...

    async def volumes(self, app: str) -> Sequence[Mapping[str, Any]]:
        """Return the app's volumes."""
        ...

    async def addresses(self, app: str) -> Sequence[Mapping[str, Any]]:
        """Return ``ip_assignments``: [{"ip", "region", "shared", …}]."""
        ...

    async def logs(self, app: str, token: str = "", instance: str = "") -> tuple[Sequence[LogLine], str]:
        """Return (lines, next token)."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a staged proof (database or broker)."""

    id: str
    """parse · dns · tcp · tls · kafka · sasl · metadata · topic · signin · version · extensions · rights."""
    title: str
    state: Literal["waiting", "running", "ok", "warn", "failed", "skipped"]
    text: str = ""
    seconds: float | None = None
    code: str = ""
    """For a failure: its code, e.g. ``credentials``, ``tls_listener``, ``refused``."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where and how to connect."""

    bootstrap: str
    protocol: str = "SASL_SSL"
    """SASL_SSL · SASL_PLAINTEXT · SSL · PLAINTEXT."""
    mechanism: str = "PLAIN"
    """PLAIN · SCRAM-SHA-256 · SCRAM-SHA-512."""
    username: Secret | None = None
    password: Secret | None = None
    ca_pem: str | None = None


class Kafka(Protocol):
    """Proves a broker; only reads."""

    def prove(
        self,
        settings: KafkaSettings,
        topics: Sequence[str] = (),
        group: str | None = None,
        timeout: float = 8.0,
    ) -> AsyncIterator[Stage]:
        """Yield each stage as it starts and ends; stops after the first failed one."""
        ...


class Database(Protocol):
    """Reaches a Postgres by URL. URLs are secrets."""

    def prove(
        self, url: Secret, extensions: Sequence[str] = (), timeout: float = 10.0
    ) -> AsyncIterator[Stage]:
        """Yield the stages of postgres.md §11, read-only."""
        ...

    async def installed(self, url: Secret) -> Mapping[str, str]:
        """Return installed extensions: name to version."""
        ...

    async def enable(self, url: Secret, extension: str) -> None:
        """``CREATE EXTENSION IF NOT EXISTS``."""
        ...

    async def existing_tables(self, url: Secret, names: Sequence[str]) -> Sequence[str]:
        """Return which of the (schema-qualified or bare) table names exist."""
        ...

    async def apply(self, url: Secret, sql: str, on_notice: Callable[[str], None] | None = None) -> int:
        """Run a script, in one transaction where possible; return the number of statements."""
        ...


class Tunnel(Protocol):
    """Opens ``fly mpg proxy``."""

    def open(self, cluster: str) -> AbstractAsyncContextManager[tuple[str, int]]:
        """Give (host, port) of the local end once a Postgres answers there. Raises StepError."""
        ...


class AnotherFly(OSError):  # noqa: N818 - a state of the world, not a fault
    """Nothing answers at the public address, and Fly's API is not Fly's own here: the address says nothing."""


class Web(Protocol):
    """Asks public addresses (in a rehearsal: the World's edge)."""

    async def get(self, url: str, timeout: float = 10.0) -> tuple[int, str, Mapping[str, str]]:
        """Return (status, body text up to 2 MB, headers). Raises OSError without an answer, or AnotherFly."""
        ...


class Files(Protocol):
    """Reads and writes inside the repository root."""

    def read(self, path: str) -> str | None:
        """Return the text with its newlines as they are, or None when there is no such file."""
        ...

    def write(self, path: str, text: str, expected: str | None) -> None:
        """Write atomically with a backup in the state directory.

        Raises:
            StepError: the file is no longer ``expected`` (None: must not exist).
        """
        ...


class Vault(Protocol):
    """Where values are kept."""

    def get(self, name: str) -> Secret | None:
        """Return the value, or None."""
        ...

    def set(self, name: str, value: Secret) -> None:
        """Keep the value."""
        ...

    def delete(self, name: str) -> None:
        """Forget the value."""
        ...

    @property
    def place(self) -> str:
        """Words for the user: "Secret Service", "memory, for this run only"."""
        ...


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> float:
        """Return Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds for measuring."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Reporter(Protocol):
    """What a step says about itself while it runs."""

    def output(self, stream: Literal["stdout", "stderr", "log"], text: str, service: str = "") -> None:
        """Report one line."""
        ...

    def progress(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Report progress."""
        ...

    def waiting(self, text: str) -> None:
        """Say what is waited for."""
        ...


@dataclass(slots=True)
class Ports:
    """All doors of a run."""

    fly: Fly
    look: Look
    database: Database
    tunnel: Tunnel
    kafka: Kafka
    web: Web
    files: Files
    vault: Vault
    clock: Clock


def child_name(attempt: str, number: int) -> str:
    """Return the name under which a keeper runs the ``number``-th changing command of one try of a step."""
    return attempt if number == 1 else f"{attempt}.{number}"


@dataclass(slots=True)
class Context:
    """What a step is given."""

    ports: Ports
    facts: dict[str, str]
    """Facts of earlier steps, keyed ``STEP-ID/FACT``; not secret, kept in the journal."""
    secrets: dict[str, Secret]
    """Secret facts of this process only (database credentials), read again by probes on resume."""
    report: Reporter
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Facts of each step's last good end, by step id; a later try of it may have failed or be in doubt."""
    in_doubt: bool = False
    """An earlier run began this step and its end is not known."""
    attempt: str = ""
    """Name of this try; handed to ``Fly.run``."""
    on_started: Callable[[Mapping[str, Any]], None] | None = None
    children: int = 0
    """Changing commands that this try has run: each has a keeper and a name of its own."""

    async def run(
        self,
        command: Command,
        *,
        stdin: bytes | None = None,
        quiet: bool = False,
        on_output: OnOutput | None = None,
    ) -> Ended:
        """Run a command, reporting its lines (or handing them to ``on_output``) unless quiet or private."""
        if on_output is None and not quiet and not command.private:
            on_output = self.report.output
        attempt = self.attempt
        if command.changes and attempt:
            self.children += 1
            attempt = child_name(attempt, self.children)
        return await self.ports.fly.run(
            command, stdin=stdin, on_output=on_output, attempt=attempt, on_started=self.on_started
        )
