"""Owns the proof's answers to what is no broker at all, its deadline, and its silence about passwords."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from flywizard.adapters.kafka import KafkaProof
from flywizard.plan import StepError
from flywizard.ports import KafkaSettings, Stage
from flywizard.proofs import KAFKA, POSTGRES, problem_id, stage_problem
from flywizard.rehearsal.broker import BrokerSettings, Fault, StandInBroker
from flywizard.rehearsal.kafka import RehearsalKafka
from flywizard.vault import Secret
from tests.support.certificates import Authority
from tests.support.real_kafka import free_ports

PASSWORD = "marked-secret-77"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(bootstrap: str, **values: str) -> KafkaSettings:
    given: dict[str, str] = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", **values}
    return KafkaSettings(
        bootstrap,
        given["protocol"],
        given["mechanism"],
        Secret("alice"),
        Secret(PASSWORD),
        given.get("ca_pem"),
    )


async def stages(
    wanted: KafkaSettings, proof: KafkaProof | None = None, timeout: float = 8.0, **more: object
) -> list[Stage]:
    found = [s async for s in (proof or KafkaProof()).prove(wanted, timeout=timeout, **more)]  # type: ignore[arg-type]
    assert all(PASSWORD not in f"{s.text} {s.data}" for s in found)
    return [s for s in found if s.state != "running"]


async def fails(wanted: KafkaSettings, timeout: float = 8.0) -> tuple[str, str]:
    last = (await stages(wanted, timeout=timeout))[-1]
    assert last.state == "failed", last
    assert problem_id("kafka", last).startswith("KAFKA-")
    return last.id, last.code


@asynccontextmanager
async def port_of(handler: Handler) -> AsyncIterator[int]:
    """Serve ``handler`` on a port of this machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes, *, unasked: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not unasked:
            await reader.read(64)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await reader.read()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def web_after_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while (piece := await reader.read(512)) and b"HEAD" not in piece:
        pass
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("broker.example.com", "no_port"),
        ("https://broker.example.com:443", "http_url"),
        ("postgres://u:p@h/d", "postgres_url"),
        ("redis://h:1", "other_url"),
        ("u:p@broker.example.com:9092", "userinfo"),
        ("broker.example.com:0", "bad_port"),
        ("fe80::1:9092", "bad_host"),
        ("boot-abc.c1.kafka-serverless.us-east-1.amazonaws.com:9098", "msk"),
    ],
)
async def test_bad_addresses_are_told_before_anything_is_asked(text: str, code: str) -> None:
    assert await fails(settings(text)) == ("parse", code)


async def test_bad_settings_are_told_before_anything_is_asked() -> None:
    assert await fails(settings("h:1", protocol="TLS")) == ("parse", "protocol")
    assert await fails(settings("h:1", mechanism="MD5")) == ("parse", "mechanism_unknown")
    assert await fails(settings("h:1", protocol="SSL", ca_pem="no pem")) == ("parse", "ca_file")
    assert await fails(replace(settings("h:1"), password=None)) == ("parse", "no_credentials")


async def test_upstash_is_recognised_and_the_proof_decides() -> None:
    address = "tops-stingray-7863-eu1-kafka.upstash.io:1"
    refused = await stages(settings(address), KafkaProof(refuse_upstash=True))
    assert [(s.id, s.code) for s in refused] == [("parse", "upstash")]
    tried = await stages(settings(address), timeout=2.0)
    assert (tried[0].state, tried[0].code) == ("warn", "upstash")
    assert tried[-1].state == "failed"
    problem = stage_problem("kafka", tried[-1])
    assert problem.id == "KAFKA-1"
    assert "11 March 2025" in problem.why


async def test_names_and_ports() -> None:
    (closed,) = free_ports(1)
    assert await fails(settings(f"127.0.0.1:{closed}")) == ("tcp", "refused")
    assert await fails(settings("nosuch.invalid:9092")) == ("dns", "dns")
    assert await fails(settings("acme-kafka.internal:9092")) == ("dns", "private_name")


async def test_the_second_bootstrap_server_is_tried() -> None:
    (closed,) = free_ports(1)
    async with StandInBroker(BrokerSettings(users={"alice": PASSWORD})) as broker:
        found = await stages(
            settings(f"nosuch.invalid:9092, 127.0.0.1:{closed},kafka://127.0.0.1:{broker.port}")
        )
    assert [(s.state, s.code) for s in found[:3]] == [("ok", ""), ("warn", "dns_some"), ("warn", "tcp_some")]
    assert found[-1].id == "topic"


@pytest.mark.parametrize(
    ("handler", "plain", "tls"),
    [
        (saying(b"E\0\0\0\x8bSFATAL\0"), ("kafka", "not_kafka"), ("tls", "not_kafka")),
        (saying(b"HTTP/1.1 400 Bad\r\n\r\n"), ("kafka", "not_kafka"), ("tls", "not_kafka")),
        (web_after_head, ("kafka", "not_kafka"), ("tls", "not_kafka")),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n", unasked=True), ("kafka", "not_kafka"), ("tls", "not_kafka")),
        (saying(b"-ERR unknown command\r\n"), ("kafka", "not_kafka"), ("tls", "not_kafka")),
        (saying(b"\x00\x01\x02\x03garbage of a stranger"), ("kafka", "garbled"), ("tls", "tls_refused")),
        (silent, ("kafka", "silent"), ("tls", "tls_timeout")),
        (closing, ("kafka", "closed"), ("tls", "closed")),
    ],
    ids=["postgres", "http", "http-late", "ssh", "redis", "garbage", "silent", "closes"],
)
async def test_other_services_are_named(
    handler: Handler, plain: tuple[str, str], tls: tuple[str, str]
) -> None:
    async with port_of(handler) as port:
        assert await fails(settings(f"127.0.0.1:{port}"), timeout=0.8) == plain
        assert await fails(settings(f"127.0.0.1:{port}", protocol="SASL_SSL"), timeout=0.8) == tls


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("silent", ("kafka", "silent")),
        ("close", ("kafka", "closed")),
        ("close-after-reading", ("kafka", "closed")),
        ("refuse-credentials", ("sasl", "credentials")),
    ],
)
async def test_the_stand_in_fails_on_request(fault: Fault, expected: tuple[str, str]) -> None:
    known = BrokerSettings(users={"alice": PASSWORD}, fault=fault, delay=0.0)
    async with StandInBroker(known) as broker:
        assert await fails(settings(f"127.0.0.1:{broker.port}"), timeout=0.8) == expected
        known.fault = None
        assert (await stages(settings(f"127.0.0.1:{broker.port}")))[-1].state == "skipped"


async def test_plain_is_not_sent_readable_to_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    from flywizard.adapters import kafka, sockets

    async def here(host: str, port: int, timeout: float) -> list[sockets.Address]:
        return [sockets.Address(2, ("127.0.0.1", port))]

    monkeypatch.setattr(kafka, "resolve", here)
    known = BrokerSettings(users={"alice": PASSWORD})
    async with StandInBroker(known) as broker:
        proof = KafkaProof(check_advertised=False)
        stranger = settings(f"broker.example.com:{broker.port}")
        last = (await stages(stranger, proof))[-1]
        assert (last.id, last.code) == ("sasl", "plain_unencrypted")
        scram = replace(stranger, mechanism="SCRAM-SHA-256")
        assert (await stages(scram, proof))[-1].id == "topic"
        private = settings(f"acme-kafka.internal:{broker.port}")
        assert (await stages(private, proof))[-1].id == "topic"


async def test_a_broker_that_does_not_know_the_password_is_found_out() -> None:
    class Impostor(StandInBroker):
        async def _scram(self, session: object, message: bytes) -> bytes | None:
            fields = dict(p.split("=", 1) for p in message.decode().split(",") if "=" in p)
            if "p" in fields:
                return b"v=" + base64.b64encode(b"no proof")
            return f"r={fields['r']}x,s={base64.b64encode(b'salt').decode()},i=1".encode()

    async with Impostor(BrokerSettings()) as broker:
        wanted = settings(f"127.0.0.1:{broker.port}", mechanism="SCRAM-SHA-512")
        assert await fails(wanted) == ("sasl", "server_proof")


async def test_a_broker_that_repeats_the_password_is_masked() -> None:
    class Parrot(StandInBroker):
        async def _authenticate(self, session: object, message: bytes) -> tuple[bytes, bool]:
            from flywizard.adapters import kafka_wire as wire

            words = f"no \x1b[31m{PASSWORD} here, {base64.b64encode(PASSWORD.encode()).decode()}"
            return b"\x00\x3a" + wire.string(words) + wire.blob(b""), True

    async with Parrot(BrokerSettings()) as broker:
        last = (await stages(settings(f"127.0.0.1:{broker.port}")))[-1]
    assert last.code == "credentials"
    assert "••••" in last.text
    assert "\x1b" not in last.text
    assert base64.b64encode(PASSWORD.encode()).decode() not in last.text


async def test_ending_the_proof_early_leaves_nothing_open() -> None:
    async with port_of(silent) as port:
        async with aclosing(KafkaProof().prove(settings(f"127.0.0.1:{port}"))) as running:
            async for stage in running:
                if stage.id == "tcp" and stage.state == "ok":
                    break
        task = asyncio.create_task(stages(settings(f"127.0.0.1:{port}")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nothing_is_logged(caplog: pytest.LogCaptureFixture, authority: Authority) -> None:
    caplog.set_level(logging.INFO)
    async with StandInBroker(tls=authority.context("expired")) as broker:
        await fails(settings(f"localhost:{broker.port}", protocol="SASL_SSL", ca_pem=authority.ca_pem))
    async with port_of(saying(b"HTTP/1.1 400 Bad\r\n\r\n")) as port:
        await fails(settings(f"127.0.0.1:{port}", protocol="SASL_SSL"), timeout=0.8)
    assert not [r for r in caplog.records if r.name != "asyncio" or r.levelno > logging.INFO]


async def test_a_rehearsal_proves_any_address_on_the_stand_in() -> None:
    known = BrokerSettings(users={"alice": PASSWORD}, topics={"inbound": 1})
    async with StandInBroker(known) as broker:
        kafka = RehearsalKafka(broker.port)
        wanted = settings("pkc-abc.us-east-1.aws.confluent.cloud:9092", protocol="SASL_SSL")
        found = [s async for s in kafka.prove(wanted, ["inbound", "new"]) if s.state != "running"]
        assert [s.id for s in found] == ["parse", "dns", "tcp", "tls", "kafka", "sasl", "metadata", "topic"]
        assert "confluent" in found[0].text
        assert "stand-in" in found[2].text
        assert found[-1].code == "topic_missing"
        assert await kafka.create_topics(wanted, ["inbound", "new"]) == {
            "inbound": "exists",
            "new": "created",
        }
        wrong = replace(wanted, password=Secret("other"))
        assert [s.code async for s in kafka.prove(wrong)][-1] == "credentials"
        with pytest.raises(StepError) as refused:
            await kafka.create_topics(wrong, ["new"])
        assert refused.value.problem.id == "KAFKA-2"
        bad = [s async for s in kafka.prove(settings("nothing"))]
        assert (bad[-1].id, bad[-1].code) == ("parse", "no_port")


def test_every_problem_has_a_cause_and_a_remedy() -> None:
    for kind, table in (("kafka", KAFKA), ("postgres", POSTGRES)):
        for code in table:
            problem = stage_problem(kind, Stage("x", "X", "failed", "said so", code=code))  # type: ignore[arg-type]
            assert problem.id.startswith(("KAFKA-", "PG-"))
            assert problem.what[0].isupper()
            assert not problem.what.endswith(".")
            assert problem.why.endswith(".")
            assert problem.remedies
    unknown = stage_problem("kafka", Stage("x", "X", "failed", "a new thing", code="never-seen"))
    assert unknown.id == "UNKNOWN"
    offered = Stage(
        "sasl", "S", "failed", "off", code="mechanism", data={"mechanisms": ["SCRAM-SHA-512", "X"]}
    )
    (remedy,) = stage_problem("kafka", offered).remedies
    assert (remedy.action, remedy.label) == ("edit:broker.mechanism", "Choose SCRAM-SHA-512")
