"""Owns the faults of the Kafka proof, as cases that run against the stand-in broker and a real one alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from flywizard.adapters.kafka import KafkaProof
from flywizard.ports import KafkaSettings, Stage
from flywizard.rehearsal.broker import BrokerSettings, StandInBroker
from flywizard.vault import Secret
from tests.support.certificates import Authority
from tests.support.real_kafka import PASSWORDS, PROTOCOLS

TOPICS = {"inbound": 3}


@dataclass(frozen=True)
class Case:
    """One attempt: a listener, how we connect, and what must come out."""

    id: str
    listener: str
    stage: str = ""
    """The failing stage; empty: all goes well."""
    code: str = ""
    protocol: str = "SASL_PLAINTEXT"
    mechanism: str = "PLAIN"
    user: str = "alice"
    password: str = "alice-secret"
    ca: bool = True
    topics: tuple[str, ...] = ()
    group: str | None = None
    warns: str = ""
    played: bool = True
    """The stand-in can show it (asyncio's TLS server does not say why it hangs up)."""
    says: str = ""
    """Words that the last stage must contain."""

    def settings(self, port: int, ca_pem: str) -> KafkaSettings:
        """Return the settings for a port of this machine."""
        return KafkaSettings(
            f"localhost:{port}",
            self.protocol,
            self.mechanism,
            Secret(self.user),
            Secret(self.password),
            ca_pem if self.ca else None,
        )


_TLS = Case("tls-plain", "SASLTLS", protocol="SASL_SSL", says="none to look at")
_SASL = Case("plain", "SASL")
CASES: tuple[Case, ...] = (
    _TLS,
    replace(_TLS, id="tls-scram-512", mechanism="SCRAM-SHA-512"),
    _SASL,
    replace(_SASL, id="scram-256", mechanism="SCRAM-SHA-256"),
    Case("no-sign-in", "PLAINTEXT", protocol="PLAINTEXT"),
    replace(
        _TLS, id="tls-on-plain", listener="SASL", stage="tls", code="plaintext_listener", says="without TLS"
    ),
    replace(
        _SASL, id="plain-on-tls", listener="SASLTLS", stage="kafka", code="tls_listener", says="SASL_SSL"
    ),
    replace(
        _TLS, id="unknown-ca", ca=False, stage="tls", code="unknown_ca", says="self-signed certificate in"
    ),
    replace(
        _TLS, id="self-signed", listener="SELFSIGNED", stage="tls", code="self_signed", says="self-signed"
    ),
    replace(
        _TLS, id="hostname", listener="WRONGHOST", stage="tls", code="hostname", says="Hostname mismatch"
    ),
    replace(_TLS, id="expired", listener="EXPIRED", stage="tls", code="cert_expired", says="has expired"),
    replace(
        _SASL, id="wrong-password", password="no", stage="sasl", code="credentials", says="Invalid username"
    ),
    replace(_SASL, id="unknown-user", user="eve", stage="sasl", code="credentials", says="Invalid username"),
    replace(
        _SASL,
        id="wrong-password-scram-256",
        mechanism="SCRAM-SHA-256",
        password="no",
        stage="sasl",
        code="credentials",
        says="mechanism SCRAM-SHA-256",
    ),
    replace(
        _SASL,
        id="unknown-user-scram-512",
        mechanism="SCRAM-SHA-512",
        user="eve",
        stage="sasl",
        code="credentials",
        says="mechanism SCRAM-SHA-512",
    ),
    replace(
        _SASL, id="mechanism-off", listener="SCRAMONLY", stage="sasl", code="mechanism", says="SCRAM-SHA-512"
    ),
    replace(
        _SASL, id="no-sasl-here", listener="PLAINTEXT", stage="sasl", code="no_sasl_here", says="error 34"
    ),
    Case(
        "sasl-required",
        "SASL",
        protocol="PLAINTEXT",
        stage="sasl",
        code="sasl_required",
        says="SCRAM-SHA-256",
    ),
    Case(
        "client-certificate",
        "MUTUAL",
        protocol="SSL",
        stage="kafka",
        code="client_cert",
        says="certificate",
        played=False,
    ),
    replace(_SASL, id="advertised", listener="ASTRAY", stage="metadata", code="advertised", says="refused"),
    replace(_SASL, id="topic-there", topics=("inbound",), group="workers", says="inbound: 3 partitions"),
    replace(
        _SASL, id="topic-missing", topics=("inbound", "nowhere"), warns="topic_missing", says="may be created"
    ),
    replace(
        _SASL, id="topic-bad-name", topics=("bad name",), stage="topic", code="topic_invalid", says="bad name"
    ),
    replace(
        _SASL,
        id="topic-denied",
        user="bob",
        password="bob-secret",
        topics=("inbound",),
        stage="topic",
        code="topic_denied",
        says="error 29",
    ),
    replace(
        _SASL,
        id="group-denied",
        user="bob",
        password="bob-secret",
        group="workers",
        stage="topic",
        code="group_denied",
        says="error 30",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a proof said, without what differs from broker to broker."""

    ended: tuple[tuple[str, str, str], ...]
    """(stage, state, code) of every ended stage."""
    last: Stage = field(compare=False)
    stages: Sequence[Stage] = field(compare=False, default=())


async def outcome(case: Case, port: int, ca_pem: str, timeout: float = 20.0) -> Outcome:
    """Run the proof."""
    stages = [
        stage
        async for stage in KafkaProof().prove(
            case.settings(port, ca_pem), case.topics, case.group, timeout=timeout
        )
    ]
    done = [stage for stage in stages if stage.state != "running"]
    return Outcome(tuple((s.id, s.state, s.code) for s in done), done[-1], stages)


def stand_in(case: Case, authority: Authority, astray: int) -> StandInBroker:
    """Return the stand-in that behaves like the real broker's listener of this case."""
    signs_in = PROTOCOLS[case.listener].startswith("SASL")
    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    certificate = {"WRONGHOST": "wronghost", "EXPIRED": "expired", "SELFSIGNED": "selfsigned"}
    secured = PROTOCOLS[case.listener].endswith("SSL")
    return StandInBroker(
        BrokerSettings(
            users=dict(PASSWORDS),
            admins=("alice",),
            mechanisms=(mechanisms[1:] if case.listener == "SCRAMONLY" else mechanisms) if signs_in else (),
            topics=dict(TOPICS),
            advertised=("localhost", astray) if case.listener == "ASTRAY" else None,
            delay=0.0,
        ),
        host="127.0.0.1",
        tls=authority.context(certificate.get(case.listener, "good"), ask_client=case.listener == "MUTUAL")
        if secured
        else None,
    )


def check(case: Case, found: Outcome) -> None:
    """Compare a proof with what its case expects."""
    last = found.last
    assert (last.state == "failed") == bool(case.stage), last
    if case.stage:
        assert (last.id, last.code) == (case.stage, case.code), last
    else:
        assert last.id == "topic"
        assert last.code == case.warns
    assert case.says in last.text, last.text
    for stage in found.stages:
        assert case.password == "no" or case.password not in f"{stage.text} {stage.data}"
