"""Owns the staged proof of a Kafka broker (the ``Kafka`` port): one stage at a time, the exact failure named.

Standard library only. It reads and asks, it creates nothing, and sends a password only where it may.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from flywizard.adapters import kafka_wire as wire
from flywizard.adapters.kafka_connection import TLS_LISTENER, Connection, greets_tls, look
from flywizard.adapters.kafka_signin import offered, sign_in
from flywizard.adapters.kafka_topics import create, read_group, read_topics
from flywizard.adapters.sockets import StageError, connect, resolve, spelled
from flywizard.plan import StepError
from flywizard.ports import KafkaSettings, Stage
from flywizard.providers import BootstrapError, is_upstash, parse_bootstrap, upstash_explanation
from flywizard.text import Redactor

TITLES: Final[Mapping[str, str]] = {
    "parse": "Address",
    "dns": "Name",
    "tcp": "Port",
    "tls": "TLS",
    "kafka": "Kafka answers",
    "sasl": "Sign-in",
    "metadata": "Cluster",
    "topic": "Topics",
}


@dataclass(slots=True)
class _Proof:
    """What one proof has learned so far."""

    settings: KafkaSettings
    topics: Sequence[str]
    group: str | None
    step: float
    """Seconds for one step."""
    ends: float
    """When everything must be over, on the monotonic clock."""
    pairs: Sequence[tuple[str, int]] = ()
    addresses: dict[tuple[str, int], Any] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    sock: Any = None
    connection: Connection | None = None
    at: tuple[str, int] = ("", 0)
    metadata: wire.Metadata | None = None
    upstash: bool = False

    def left(self) -> float:
        """Return the seconds of the next step."""
        return max(0.05, min(self.step, self.ends - time.monotonic()))

    @property
    def line(self) -> Connection:
        """Return the open connection."""
        assert self.connection is not None  # noqa: S101  # set by the stage before
        return self.connection

    async def close(self) -> None:
        """Close what is open."""
        if self.connection is not None:
            await self.connection.close()
        elif self.sock is not None:
            self.sock.close()


@dataclass(frozen=True, slots=True)
class _Said:
    """What a stage that did not fail has to say."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    warn: str = ""
    """A code: the stage is a warning."""
    skipped: bool = False


class KafkaProof:
    """The ``Kafka`` port.

    ``check_advertised=False`` for a broker behind a proxy, whose advertised names cannot resolve here;
    ``refuse_upstash=True`` ends the proof of an Upstash address before anything is asked.
    """

    def __init__(self, *, check_advertised: bool = True, refuse_upstash: bool = False) -> None:
        self._check_advertised = check_advertised
        self._refuse_upstash = refuse_upstash

    async def prove(
        self,
        settings: KafkaSettings,
        topics: Sequence[str] = (),
        group: str | None = None,
        timeout: float = 8.0,
    ) -> AsyncGenerator[Stage, None]:
        """Yield each stage twice, when it starts and when it has ended; stops after the first failed one.

        ``timeout`` is for the whole proof in seconds; one step gets half of it. What a port belongs to is
        looked up after a failure, for at most a quarter of it more, twice.
        """
        redactor = Redactor([settings.password.reveal()] if settings.password else [])
        proof = _Proof(settings, topics, group, timeout / 2, time.monotonic() + timeout)
        try:
            async with aclosing(self._stages(proof, redactor)) as stages:
                async for stage in stages:
                    yield stage
        finally:
            await proof.close()

    async def read_address(self, settings: KafkaSettings) -> AsyncGenerator[Stage, None]:
        """Yield the stage ``parse`` alone: nothing is asked of anybody."""
        redactor = Redactor([settings.password.reveal()] if settings.password else [])
        proof = _Proof(settings, (), None, 1.0, time.monotonic() + 1.0)
        async with aclosing(self._stages(proof, redactor, last="parse")) as stages:
            async for stage in stages:
                yield stage

    async def create_topics(
        self, settings: KafkaSettings, names: Sequence[str], timeout: float = 15.0
    ) -> Mapping[str, str]:
        """Create topics with the broker's defaults; return name → ``created`` or ``exists``.

        Raises:
            StepError: the broker could not be reached, or refused a topic.
        """
        from flywizard.proofs import stage_problem

        redactor = Redactor([settings.password.reveal()] if settings.password else [])
        proof = _Proof(settings, (), None, timeout / 2, time.monotonic() + timeout)
        try:
            async with aclosing(self._stages(proof, redactor, last="sasl")) as stages:
                async for stage in stages:
                    if stage.state == "failed":
                        raise StepError(stage_problem("kafka", stage))
            try:
                return await create(proof.line, names, proof.left)
            except StageError as failure:
                stage = Stage(
                    "topic", TITLES["topic"], "failed", redactor.line(failure.text), code=failure.code
                )
                raise StepError(stage_problem("kafka", stage)) from None
        finally:
            await proof.close()

    async def _stages(
        self, proof: _Proof, redactor: Redactor, last: str = "topic"
    ) -> AsyncGenerator[Stage, None]:
        steps: dict[str, Callable[[_Proof], Awaitable[_Said]]] = {
            "parse": self._parse,
            "dns": self._dns,
            "tcp": self._tcp,
            "tls": self._tls,
            "kafka": self._kafka,
            "sasl": self._sasl,
            "metadata": self._metadata,
            "topic": self._topic,
        }
        for name, step in steps.items():
            yield Stage(name, TITLES[name], "running")
            began = time.monotonic()
            try:
                said = await step(proof)
            except StageError as failure:
                data = {**failure.data, **({"upstash": True} if proof.upstash else {})}
                yield Stage(
                    name,
                    TITLES[name],
                    "failed",
                    redactor.line(failure.text),
                    time.monotonic() - began,
                    failure.code,
                    _clean(data, redactor),
                )
                return
            yield Stage(
                name,
                TITLES[name],
                "skipped" if said.skipped else "warn" if said.warn else "ok",
                redactor.line(said.text),
                time.monotonic() - began,
                said.warn,
                _clean(said.data, redactor),
            )
            if name == last:
                return

    async def _parse(self, proof: _Proof) -> _Said:
        settings = proof.settings
        try:
            proof.pairs = parse_bootstrap(settings.bootstrap, refuse_upstash=self._refuse_upstash)
        except BootstrapError as error:
            raise StageError(error.code, error.text) from None
        if settings.protocol not in ("SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"):
            raise StageError(
                "protocol", "the security protocol is one of SASL_SSL, SASL_PLAINTEXT, SSL, PLAINTEXT"
            )
        if settings.protocol.startswith("SASL"):
            if settings.mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
                raise StageError(
                    "mechanism_unknown", "the mechanism is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"
                )
            if not settings.username or not settings.password:
                raise StageError("no_credentials", "a user and a password are needed for this protocol")
        if settings.protocol.endswith("SSL"):
            try:
                proof.context = ssl.create_default_context(cadata=settings.ca_pem or None)
            except (ssl.SSLError, ValueError):
                raise StageError("ca_file", "the CA file holds no certificate in PEM form") from None
        text = ", ".join(spelled(*pair) for pair in proof.pairs)
        proof.upstash = any(is_upstash(host) for host, _ in proof.pairs)
        if proof.upstash:
            return _Said(upstash_explanation(), {"servers": text}, warn="upstash")
        return _Said(text, {"servers": text})

    async def _dns(self, proof: _Proof) -> _Said:
        seconds = proof.left()
        answers = await asyncio.gather(
            *(resolve(host, port, seconds) for host, port in proof.pairs), return_exceptions=True
        )
        failures: list[StageError] = []
        for pair, answer in zip(proof.pairs, answers, strict=True):
            if isinstance(answer, StageError):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                proof.addresses[pair] = answer
        if not proof.addresses:
            raise failures[0]
        found = [address.text for addresses in proof.addresses.values() for address in addresses]
        if failures:
            return _Said(f"{', '.join(found)}; but {failures[0].text}", {"addresses": found}, warn="dns_some")
        return _Said(", ".join(found), {"addresses": found})

    async def _tcp(self, proof: _Proof) -> _Said:
        failures: list[StageError] = []
        for pair, addresses in proof.addresses.items():
            try:
                proof.sock, address = await connect(*pair, addresses, proof.left())
            except StageError as failure:
                failures.append(failure)
                continue
            proof.at = pair
            where = spelled(address, pair[1])
            if failures:
                return _Said(f"{where} answers; but {failures[0].text}", warn="tcp_some")
            return _Said(f"{where} answers")
        raise failures[0]

    async def _tls(self, proof: _Proof) -> _Said:
        sock, proof.sock = proof.sock, None
        if proof.context is None:
            proof.connection = await Connection.plain(*proof.at, sock)
            return _Said(f"not used ({proof.settings.protocol})", skipped=True)
        proof.connection = await Connection.secured(*proof.at, sock, proof.context, proof.left())
        facts = proof.connection.tls()
        text = (
            f"{facts['version']}, {facts['subject']}, issued by {facts['issuer']}, until {facts['not_after']}"
        )
        return _Said(text, facts)

    async def _kafka(self, proof: _Proof) -> _Said:
        try:
            error, versions = wire.api_versions(await proof.line.ask(wire.API_VERSIONS, 0, b"", proof.left()))
        except StageError as failure:
            if (
                failure.code == "closed"
                and proof.context is None
                and await greets_tls(*proof.at, proof.step / 2)
            ):
                raise StageError("tls_listener", TLS_LISTENER, service="tls") from None
            raise
        except TimeoutError:
            found = await look(*proof.at, proof.step / 2) if proof.context is None else None
            if found and found.kind not in ("silent", "closed", "unknown", "kafka", "tls"):
                raise StageError(
                    "not_kafka", f"this port belongs to {found.words}, not to Kafka", service=found.kind
                ) from None
            raise StageError(
                "silent", "the port accepts connections but never answers a Kafka request"
            ) from None
        except wire.WireError:
            raise StageError("garbled", "the answer is not one of a Kafka broker") from None
        proof.line.versions = versions
        if error or not proof.line.has(wire.METADATA, 4):
            raise StageError("too_old", "the broker is older than Kafka 1.0, or hides its requests from us")
        return _Said(f"{len(versions)} requests understood", {"apis": len(versions)})

    async def _sasl(self, proof: _Proof) -> _Said:
        try:
            if proof.settings.protocol.startswith("SASL"):
                mechanisms = await sign_in(proof.line, proof.settings, proof.left)
                names = ", ".join(mechanisms)
                return _Said(
                    f"signed in with {proof.settings.mechanism}; the broker offers {names}",
                    {"mechanisms": list(mechanisms)},
                )
            wanted = await self._demanded(proof)
        except TimeoutError:
            raise StageError("silent", "the broker does not answer the sign-in") from None
        except wire.WireError:
            raise StageError("garbled", "the answer to the sign-in cannot be read") from None
        if wanted:
            raise StageError(
                "sasl_required",
                f"this listener wants a user and a password ({', '.join(wanted)})",
                mechanisms=list(wanted),
            )
        return _Said(f"not used ({proof.settings.protocol})", skipped=True)

    async def _demanded(self, proof: _Proof) -> Sequence[str]:
        """Ask on a connection of its own which mechanisms the listener demands; () for none."""
        second = await self._another(*proof.at, proof)
        try:
            second.versions = proof.line.versions
            return await offered(second, proof.left())
        finally:
            await second.close()

    async def _another(self, host: str, port: int, proof: _Proof) -> Connection:
        addresses = await resolve(host, port, proof.left())
        sock, _ = await connect(host, port, addresses, proof.left())
        if proof.context is None:
            return await Connection.plain(host, port, sock)
        return await Connection.secured(host, port, sock, proof.context, proof.left())

    async def _metadata(self, proof: _Proof) -> _Said:
        version = (
            8
            if proof.line.has(wire.METADATA, 8)
            else max(v for v in range(4, 9) if proof.line.has(wire.METADATA, v))
        )
        try:
            body = wire.metadata_request(proof.topics, version)
            answer = await proof.line.ask(wire.METADATA, version, body, proof.left())
            found = proof.metadata = wire.metadata(answer, version)
        except TimeoutError:
            raise StageError("silent", "the broker does not tell about its cluster in time") from None
        except wire.WireError:
            raise StageError("garbled", "the answer about the cluster cannot be read") from None
        brokers = [spelled(b.host, b.port) for b in found.brokers]
        data = {"cluster": found.cluster, "brokers": brokers, "operations": list(found.allowed or ())}
        if self._check_advertised:
            await self._reach_all(proof, found.brokers)
        count = f"{len(brokers)} broker{'' if len(brokers) == 1 else 's'}"
        return _Said(f"cluster {found.cluster or 'without a name'}, {count}: {', '.join(brokers[:4])}", data)

    async def _reach_all(self, proof: _Proof, brokers: Sequence[wire.Broker]) -> None:
        others = [b for b in brokers if (b.host, b.port) != proof.at]

        async def reach(broker: wire.Broker) -> StageError | None:
            try:
                connection = await self._another(broker.host, broker.port, proof)
            except StageError as failure:
                return failure
            await connection.close()
            return None

        results = await asyncio.gather(*(reach(b) for b in others[:16]))
        for broker, failure in zip(others, results, strict=False):
            if failure is not None:
                name = spelled(broker.host, broker.port)
                raise StageError(
                    "advertised",
                    f"the cluster sends its clients to {name}, and that fails: {failure.text}",
                    host=name,
                    reason=failure.code,
                )

    async def _topic(self, proof: _Proof) -> _Said:
        if not proof.topics and not proof.group:
            return _Said("none to look at", skipped=True)
        assert proof.metadata is not None  # noqa: S101  # set by the stage before
        try:
            rows, missing = await read_topics(proof.line, proof.metadata, proof.topics, proof.left)
            group = await read_group(proof.line, proof.group, proof.left) if proof.group else ""
        except TimeoutError:
            raise StageError("silent", "the broker does not tell about the topics in time") from None
        except wire.WireError:
            raise StageError("garbled", "the answer about the topics cannot be read") from None
        data = {"topics": {row.name: row.facts() for row in rows}, "group": group}
        text = "; ".join([row.text for row in rows] + ([group] if group else []))
        warned = next((row.code for row in rows if row.code), "")
        return _Said(text, {**data, "missing": list(missing)}, warn=warned)


def _clean(value: Any, redactor: Redactor) -> Any:
    """Put every text inside ``value`` through the one door."""
    if isinstance(value, str):
        return redactor.line(value)
    if isinstance(value, Mapping):
        return {redactor.line(str(k)): _clean(v, redactor) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v, redactor) for v in value]
    return value
