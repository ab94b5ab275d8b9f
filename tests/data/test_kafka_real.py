"""Owns the comparison of the stand-in broker with a real Kafka: every fault, the same stage, code and words."""

from __future__ import annotations

import asyncio
import re
import ssl
import struct

import pytest

from flywizard.adapters import kafka_wire as wire
from flywizard.adapters.kafka import KafkaProof
from flywizard.adapters.kafka_connection import Connection
from flywizard.adapters.sockets import connect, resolve
from flywizard.proofs import stage_problem
from tests.support.certificates import Authority
from tests.support.proof_cases import CASES, TOPICS, Case, Outcome, check, outcome, stand_in
from tests.support.real_kafka import RealKafka, free_ports

CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


async def on_stand_in(case: Case, authority: Authority) -> Outcome:
    (astray,) = free_ports(1)
    async with stand_in(case, authority, astray) as broker:
        return await outcome(case, broker.port, authority.ca_pem)


@pytest.mark.parametrize("case", [c for c in CASES if c.played], ids=lambda case: case.id)
async def test_the_stand_in_shows_each_fault(case: Case, authority: Authority) -> None:
    found = await on_stand_in(case, authority)
    check(case, found)
    if found.last.state == "failed":
        assert stage_problem("kafka", found.last).id.startswith("KAFKA-")


async def make_topic(port: int, name: str, partitions: int) -> dict[str, tuple[int, str]]:
    """Create a topic over a listener without sign-in; return the broker's answer."""
    sock, _ = await connect("localhost", port, await resolve("localhost", port, 5.0), 5.0)
    connection = await Connection.plain("localhost", port, sock)
    try:
        row = wire.string(name) + struct.pack(">ihii", partitions, 1, 0, 0)
        body = wire.array([row]) + struct.pack(">i?", 10_000, False)
        return wire.create_topics(await connection.ask(wire.CREATE_TOPICS, 4, body, 15.0))
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def topics(real_broker: RealKafka) -> RealKafka:
    """The real broker with the topics of the cases."""
    answer = asyncio.run(make_topic(real_broker.ports["PLAINTEXT"], "inbound", TOPICS["inbound"]))
    assert answer == {"inbound": (0, "")}
    return real_broker


@pytest.mark.kafka
@CASE
async def test_a_real_broker_says_the_same(case: Case, topics: RealKafka, authority: Authority) -> None:
    real = await outcome(case, topics.ports[case.listener], topics.ca_pem)
    check(case, real)
    if not case.played:
        return
    played = await on_stand_in(case, authority)
    assert played.ended == real.ended
    if case.stage:
        assert _plain(played.last.text) == _plain(real.last.text)


def _plain(text: str) -> str:
    """Leave out ports, and the order in which a broker lists its mechanisms."""
    text = re.sub(r":\d{4,5}\b", ":PORT", text)
    return " ".join(sorted(re.sub(r"[,;()]", " ", text).split()))


@pytest.mark.kafka
async def test_topics_are_really_created(topics: RealKafka) -> None:
    case = Case("create", "SASLTLS", protocol="SASL_SSL", mechanism="SCRAM-SHA-512")
    settings = case.settings(topics.ports["SASLTLS"], topics.ca_pem)
    proof = KafkaProof()
    made = await proof.create_topics(settings, ["made-by-us", "inbound"])
    assert made == {"made-by-us": "created", "inbound": "exists"}
    assert await proof.create_topics(settings, ["made-by-us"]) == {"made-by-us": "exists"}


@pytest.mark.kafka
async def test_a_real_client_signs_in_with_the_same_settings(topics: RealKafka) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    arguments = {
        "bootstrap_servers": f"localhost:{topics.ports['SASLTLS']}",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "alice-secret",
        "ssl_context": ssl.create_default_context(cadata=topics.ca_pem),
    }
    async with AIOKafkaProducer(**arguments) as producer:
        await producer.send_and_wait("inbound", b"hello")
    async with AIOKafkaConsumer("inbound", auto_offset_reset="earliest", **arguments) as consumer:
        assert (await consumer.getone()).value == b"hello"
