"""Owns what is known about Kafka providers, and how a list of bootstrap servers is read. Pure data and functions.

The shapes and words were read in the providers' documentation on the date in ``READ``; nobody was contacted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

READ: Final = "2026-11-23"
"""When the presets were read; shown beside prices and trials."""

ProviderId: TypeAlias = Literal["confluent", "redpanda", "aiven", "eventhubs", "upstash", "other"]
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS: Final = ("SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT")


@dataclass(frozen=True, slots=True)
class Provider:
    """A preset: what to fill in, what to ask, and what to say."""

    id: ProviderId
    label: str
    suffix: str
    """The end of its host names; empty where there is none."""
    example: str
    """A bootstrap address of its shape."""
    protocol: str
    mechanisms: tuple[str, ...]
    """The usual one first."""
    user_label: str
    password_label: str
    own_ca: bool
    """Its certificates are signed by an authority of its own: a PEM file is needed."""
    advice: str
    fixed_user: str = ""
    """The one user name it takes, or empty."""
    ended: bool = False
    date: str = READ


PROVIDERS: Final[tuple[Provider, ...]] = (
    Provider(
        "confluent",
        "Confluent Cloud",
        ".confluent.cloud",
        "pkc-xxxxx.us-east-1.aws.confluent.cloud:9092",
        "SASL_SSL",
        ("PLAIN",),
        "API key",
        "API secret",
        False,
        "Make an API key for this cluster, not a “Cloud” key. A new key can take up to ten minutes to work. "
        "Topics are made first; nothing makes them by itself.",
    ),
    Provider(
        "redpanda",
        "Redpanda Cloud",
        ".cloud.redpanda.com",
        "xxxxxxxxxxxxxxxxxxxx.any.us-east-1.mpx.prd.cloud.redpanda.com:9092",
        "SASL_SSL",
        ("SCRAM-SHA-256", "SCRAM-SHA-512"),
        "User",
        "Password",
        False,
        "Make the user under Security → Users, and give it ACLs: a new user has no rights. "
        "Topics are not made by themselves.",
    ),
    Provider(
        "aiven",
        "Aiven for Apache Kafka",
        ".aivencloud.com",
        "kafka-acme.a.aivencloud.com:12345",
        "SASL_SSL",
        ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"),
        "User",
        "Password",
        True,
        "Take the port of the SASL tab: the other port wants a client certificate. Save the CA certificate "
        "(ca.pem) of the service. The free plan turns itself off when nobody uses it.",
    ),
    Provider(
        "eventhubs",
        "Azure Event Hubs",
        ".servicebus.windows.net",
        "acme.servicebus.windows.net:9093",
        "SASL_SSL",
        ("PLAIN",),
        "User (always $ConnectionString)",
        "Connection string (Endpoint=sb://…)",
        False,
        "The Basic tier has no Kafka: it takes Standard or above. The password is the whole connection string.",
        fixed_user="$ConnectionString",
    ),
    Provider(
        "upstash",
        "Upstash Kafka (ended)",
        "-kafka.upstash.io",
        "tops-stingray-7863-eu1-kafka.upstash.io:9092",
        "SASL_SSL",
        ("SCRAM-SHA-256", "SCRAM-SHA-512"),
        "User",
        "Password",
        False,
        "Upstash ended its Kafka service on 11 March 2025.",
        ended=True,
    ),
    Provider(
        "other",
        "Another Kafka with a user and a password",
        "",
        "kafka.example.com:9092",
        "SASL_SSL",
        MECHANISMS,
        "User",
        "Password",
        False,
        "If you do not know the mechanism, try one: the broker answers with the list of those it offers.",
    ),
)

_UPSTASH: Final = re.compile(
    r"^[a-z]+-[a-z]+-\d+-[a-z0-9]+(-rest)?-kafka\.upstash\.io(:\d+)?$", re.IGNORECASE
)
_MSK_SERVERLESS: Final = re.compile(r"\.kafka-serverless\.[a-z0-9-]+\.amazonaws\.com$", re.IGNORECASE)
_SCHEME: Final = re.compile(r"^([a-z][a-z0-9+._-]*)://", re.IGNORECASE)
_HOST: Final = re.compile(r"^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?$")
_KAFKA_SCHEMES: Final = frozenset(
    {"kafka", "kafka+ssl", "sasl_ssl", "sasl_plaintext", "ssl", "plaintext", "client"}
)


def provider(provider_id: str) -> Provider:
    """Return a preset by its id.

    Raises:
        KeyError: no such preset.
    """
    for preset in PROVIDERS:
        if preset.id == provider_id:
            return preset
    raise KeyError(provider_id)


def provider_of(host: str) -> Provider:
    """Return the preset that a host name (or ``host:port``) belongs to; ``other`` when none does."""
    name = (
        host.strip().lower().rsplit(":", 1)[0].rstrip(".")
        if ":" in host
        else host.strip().lower().rstrip(".")
    )
    for preset in PROVIDERS:
        if preset.suffix and name.endswith(preset.suffix):
            return preset
    return provider("other")


def is_upstash(address: str) -> bool:
    """Tell whether ``host`` or ``host:port`` has the shape of an Upstash Kafka endpoint."""
    return _UPSTASH.match(address.strip()) is not None


def upstash_explanation() -> str:
    """Return the sentences to show for an Upstash Kafka address."""
    return (
        "Upstash ended its Kafka service on 11 March 2025, so these credentials are not expected to work any "
        "more; nothing is wrong with your typing. Choose another Kafka: Confluent Cloud, Redpanda, Aiven or "
        "Event Hubs. Your code stays as it is, only the five connection settings change. Upstash's own "
        "successors (QStash, Workflow) call a public URL and cannot feed a Kafka consumer."
    )


class BootstrapError(ValueError):
    """A list of bootstrap servers cannot be used; ``code`` names the reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        """empty · no_port · bad_port · bad_host · http_url · postgres_url · other_url · userinfo · upstash · msk."""
        self.text = text


def parse_bootstrap(text: str, *, refuse_upstash: bool = False) -> tuple[tuple[str, int], ...]:
    """Return the (host, port) pairs of ``host:port,[v6]:port,…``; quotes, blanks and a Kafka scheme are dropped.

    Raises:
        BootstrapError: nothing given, no port, another service's URL, or a service that cannot be used.
    """
    pairs: list[tuple[str, int]] = []
    for item in re.split(r"[,\s]+", text.strip().strip("\"'")):
        address = item.strip().strip("\"'")
        if address:
            pair = _one(address, refuse_upstash)
            if pair not in pairs:
                pairs.append(pair)
    if not pairs:
        raise BootstrapError("empty", "no bootstrap server given; it looks like `host:9092`")
    return tuple(pairs)


def _one(address: str, refuse_upstash: bool) -> tuple[str, int]:
    if scheme := _SCHEME.match(address):
        word = scheme[1].lower()
        if word in ("http", "https"):
            raise BootstrapError(
                "http_url",
                "this is the URL of a website or REST proxy; Kafka wants `host:port` without `http`",
            )
        if word.startswith(("postgres", "redis", "mysql", "amqp", "mongodb")):
            code = "postgres_url" if word.startswith("postgres") else "other_url"
            raise BootstrapError(code, f"this is a `{word}` URL, not the address of a Kafka broker")
        if word not in _KAFKA_SCHEMES:
            raise BootstrapError("other_url", f"`{word}://` is not a Kafka address; give `host:port`")
        address = address[scheme.end() :]
    address = address.rstrip("/")
    if "@" in address:
        raise BootstrapError(
            "userinfo", "user and password do not belong into the address; give `host:port` alone"
        )
    host, port = _split(address)
    if is_upstash(host) and refuse_upstash:
        raise BootstrapError("upstash", upstash_explanation())
    if _MSK_SERVERLESS.search(host):
        raise BootstrapError(
            "msk",
            "MSK Serverless signs in with AWS IAM only, from inside a VPC; it has no user and password",
        )
    if port is None:
        raise BootstrapError("no_port", f"`{_short(host)}` has no port; Kafka's usual one is 9092")
    return host, port


def _split(address: str) -> tuple[str, int | None]:
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or not re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?", host):
            raise BootstrapError("bad_host", "an IPv6 address is written `[address]:port`")
        port = rest[1:] if rest.startswith(":") else rest
    elif address.count(":") > 1:
        raise BootstrapError(
            "bad_host", "an IPv6 address is written `[address]:port`, other hosts `host:port`"
        )
    else:
        host, _, port = address.partition(":")
        if not _HOST.match(host):
            raise BootstrapError("bad_host", f"`{_short(host)}` is not a host name")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BootstrapError("bad_port", f"`{_short(port)}` is not a port; ports go from 1 to 65535")
    return host, int(port)


def _short(text: str) -> str:
    printable = "".join(c if c.isprintable() else "�" for c in text)
    return printable if len(printable) <= 80 else printable[:79] + "…"
