"""Owns the tests of the Kafka encoding, of SCRAM and of the provider presets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard import providers
from flywizard.adapters import kafka_wire as wire

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(NAMES, st.binary(max_size=40), st.lists(NAMES, max_size=5))
def test_what_is_encoded_is_read_back(name: str, raw: bytes, names: list[str]) -> None:
    reader = wire.Reader(
        wire.string(name)
        + wire.blob(raw)
        + wire.array(map(wire.string, names))
        + wire.string(None)
        + wire.blob(None)
    )
    assert reader.string() == name
    assert reader.blob() == raw
    assert reader.array(reader.string) == names
    assert reader.nullable() is None
    assert reader.blob() == b""
    assert reader.rest == b""


@given(st.binary(max_size=80), st.integers(4, 8))
def test_any_bytes_are_read_or_refused(raw: bytes, version: int) -> None:
    for read in (wire.api_versions, wire.create_topics, lambda r: wire.metadata(r, version)):
        try:
            read(wire.Reader(raw))
        except wire.WireError:
            continue


@given(st.sets(st.sampled_from(sorted(wire.OPERATIONS.values()))))
def test_operations_are_bits(names: set[str]) -> None:
    assert set(wire.operations(wire.operation_bits(names)) or ()) == names


def test_operations_may_be_unknown() -> None:
    assert wire.operations(wire.NOT_GIVEN) is None


def test_scram_against_the_example_of_rfc_7677() -> None:
    client = wire.ScramClient("SCRAM-SHA-256", "user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert client.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert client.final(first) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert client.accepts(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not client.accepts(b"v=" + base64.b64encode(b"x" * 32))


@settings(max_examples=20)
@given(NAMES)
def test_user_names_are_escaped(user: str) -> None:
    name = wire.ScramClient("SCRAM-SHA-512", user, "x").first().decode().split(",r=")[0]
    assert name.startswith("n,,n=")
    assert "," not in name[5:]
    assert "=" not in name[5:].replace("=3D", "").replace("=2C", "")


@pytest.mark.parametrize("first", [b"", b"r=other,s=YQ==,i=4096", b"r=mine1,s=YQ==,i=0", b"r=mine1,s=!,i=5", b"r=mine1,s=YQ==,i=99999999"])  # fmt: skip
def test_bad_first_messages_are_refused(first: bytes) -> None:
    with pytest.raises(wire.ScramError):
        wire.ScramClient("SCRAM-SHA-256", "u", "p", nonce="mine").final(first)


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("pkc-1.us-east-1.aws.confluent.cloud:9092", "confluent"),
        ("abc.any.us-east-1.mpx.prd.cloud.redpanda.com", "redpanda"),
        ("kafka-acme.a.aivencloud.com:12345", "aiven"),
        ("acme.servicebus.windows.net:9093", "eventhubs"),
        ("Tops-Stingray-7863-eu1-kafka.upstash.io:9092", "upstash"),
        ("kafka.example.com:9092", "other"),
        ("confluent.cloud.example.com", "other"),
    ],
)
def test_the_provider_is_known_by_its_host(host: str, provider: str) -> None:
    assert providers.provider_of(host).id == provider


def test_presets_are_complete() -> None:
    for preset in providers.PROVIDERS:
        assert providers.provider(preset.id) is preset
        assert set(preset.mechanisms) <= set(providers.MECHANISMS)
        assert preset.protocol in providers.PROTOCOLS
        assert preset.advice.endswith(".")
        assert providers.parse_bootstrap(preset.example)
        assert preset.id == "other" or providers.provider_of(preset.example) is preset
    with pytest.raises(KeyError):
        providers.provider("nothing")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a:1", (("a", 1),)),
        (" 'a.example.com:9092' , b:9093 ", (("a.example.com", 9092), ("b", 9093))),
        ("SASL_SSL://a:1,SASL_SSL://a:1/", (("a", 1),)),
        ("[::1]:9092", (("::1", 9092),)),
        ("a:1\nb:2", (("a", 1), ("b", 2))),
    ],
)
def test_lists_of_servers_are_read(text: str, pairs: tuple[tuple[str, int], ...]) -> None:
    assert providers.parse_bootstrap(text) == pairs


@given(st.text(max_size=40))
def test_any_list_is_read_or_refused(text: str) -> None:
    try:
        pairs = providers.parse_bootstrap(text)
    except providers.BootstrapError:
        return
    assert pairs
    assert all(host and 0 < port < 65536 for host, port in pairs)


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("tops-stingray-7863-eu1-kafka.upstash.io:9092", True),
        ("tops-stingray-7863-eu1-rest-kafka.upstash.io", True),
        ("eu1-redis.upstash.io:6379", False),
        ("tops-stingray-7863-eu1-kafka.upstash.io.example.com", False),
    ],
)
def test_upstash_is_known_by_its_shape(address: str, is_one: bool) -> None:
    assert providers.is_upstash(address) is is_one
