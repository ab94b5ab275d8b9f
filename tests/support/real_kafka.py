"""Owns a real Kafka broker for one run of the tests: certificates, properties, start, readiness, end.

Needs Java and the jars that ``scripts/fetch-kafka.sh`` puts into ``.cache/kafka``.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority

ROOT = Path(__file__).resolve().parents[2]
JARS = ROOT / ".cache" / "kafka"
PROTOCOLS: Mapping[str, str] = {
    "PLAINTEXT": "PLAINTEXT",
    "SASL": "SASL_PLAINTEXT",
    "SASLTLS": "SASL_SSL",
    "WRONGHOST": "SASL_SSL",
    "EXPIRED": "SASL_SSL",
    "SELFSIGNED": "SASL_SSL",
    "SCRAMONLY": "SASL_PLAINTEXT",
    "ASTRAY": "SASL_PLAINTEXT",
    "MUTUAL": "SSL",
    "CONTROLLER": "PLAINTEXT",
}
PASSWORDS = {"alice": "alice-secret", "bob": "bob-secret"}
"""alice may do everything, bob nothing."""


def missing() -> str:
    """Say why there is no real broker here; empty: there may be one."""
    if shutil.which("java") is None:
        return "no Java on this machine"
    if not list(JARS.glob("kafka_2.13-*.jar")):
        return "no broker jars: run scripts/fetch-kafka.sh"
    return ""


def free_ports(count: int) -> list[int]:
    """Return ports that are free right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def properties(folder: Path, ports: Mapping[str, int], astray: int) -> str:
    """Return the broker's properties file; clients of ASTRAY are sent to the closed port ``astray``."""
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    users = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
    lines = [
        "process.roles=broker,controller",
        "node.id=1",
        f"controller.quorum.voters=1@localhost:{ports['CONTROLLER']}",
        "controller.listener.names=CONTROLLER",
        "inter.broker.listener.name=PLAINTEXT",
        "listeners=" + ",".join(f"{name}://localhost:{ports[name]}" for name in PROTOCOLS),
        "advertised.listeners="
        + ",".join(
            f"{name}://localhost:{astray if name == 'ASTRAY' else ports[name]}"
            for name in PROTOCOLS
            if name != "CONTROLLER"
        ),
        "listener.security.protocol.map=" + ",".join(f"{k}:{v}" for k, v in PROTOCOLS.items()),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.scramonly.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={folder}/good.pem",
        f"listener.name.wronghost.ssl.keystore.location={folder}/wronghost.pem",
        f"listener.name.expired.ssl.keystore.location={folder}/expired.pem",
        f"listener.name.selfsigned.ssl.keystore.location={folder}/selfsigned.pem",
        "listener.name.mutual.ssl.client.auth=required",
        "listener.name.mutual.ssl.truststore.type=PEM",
        f"listener.name.mutual.ssl.truststore.location={folder}/ca.pem",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS;User:alice",
        f"log.dirs={folder}/data",
        "log.cleaner.dedupe.buffer.size=2097152",
        "auto.create.topics.enable=false",
        "offsets.topic.num.partitions=1",
        "offsets.topic.replication.factor=1",
        "transaction.state.log.num.partitions=1",
        "transaction.state.log.replication.factor=1",
        "transaction.state.log.min.isr=1",
        "group.initial.rebalance.delay.ms=0",
    ]
    for name, protocol in PROTOCOLS.items():
        if protocol.startswith("SASL"):
            at = f"listener.name.{name.lower()}"
            lines += [
                f"{at}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
                f"{at}.scram-sha-256.sasl.jaas.config={scram}",
                f"{at}.scram-sha-512.sasl.jaas.config={scram}",
            ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class RealKafka:
    """A running broker."""

    ports: Mapping[str, int]
    astray: int
    ca_pem: str


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("localhost", port), 2.0) as sock:
            sock.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
            return sock.recv(8)[4:8] == b"\x00\x00\x00\x01"
    except OSError:
        return False


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), 2.0).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running(folder: Path, authority: Authority) -> Iterator[RealKafka]:
    """Run a broker in ``folder`` (which holds the authority's certificates) until the block ends."""
    names = list(PROTOCOLS)
    *numbers, astray = free_ports(len(names) + 1)
    ports = dict(zip(names, numbers, strict=True))
    config = folder / "server.properties"
    config.write_text(properties(folder, ports, astray))
    java = ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{JARS}/*"]
    scram = [
        word
        for user, password in PASSWORDS.items()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for word in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
    ]
    subprocess.run(
        [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "-c",
            str(config),
            *scram,
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen([*java, "kafka.Kafka", str(config)], stdout=log, stderr=log)
        try:
            until = time.monotonic() + 60
            plain = [port for name, port in ports.items() if PROTOCOLS[name].endswith("PLAINTEXT")]
            while not (all(map(_answers, plain)) and all(map(_accepts, ports.values()))):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "broker.log").read_text()[-2000:])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield RealKafka(ports, astray, authority.ca_pem)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
