"""Owns what a failed stage of a proof means: code of a stage → named problem with its cause and its remedies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from flywizard.events import Problem, Remedy
from flywizard.ports import Stage
from flywizard.providers import MECHANISMS, upstash_explanation

Kind: TypeAlias = Literal["kafka", "postgres"]


@dataclass(frozen=True, slots=True)
class _Row:
    """One meaning: the problem's id, its first sentence, the cause, and remedies as (action, label)."""

    id: str
    what: str
    why: str
    remedies: tuple[tuple[str, str], ...]


_AGAIN = ("retry", "Try again")
_ADDRESS = ("edit:broker.bootstrap", "Change the bootstrap servers")
_USER = ("edit:broker.username", "Change the user")
_PASSWORD = ("edit:broker.password", "Enter the password again")
_MECHANISM = ("edit:broker.mechanism", "Choose another mechanism")
_PROTOCOL = ("edit:broker.protocol", "Choose another protocol")
_CA = ("edit:broker.ca_file", "Name the CA file (ca.pem)")
_TOPICS = ("edit:broker.topics", "Change the topics")
_PROVIDER = ("edit:broker.provider", "Choose another provider")
_URL = ("edit:database.url", "Change the database URL")
_KIND = ("edit:database.kind", "Choose another database")

_BAD_ADDRESS = "The bootstrap servers are a list of `host:port` pairs, as the provider's page shows them."
_CERTIFICATE = "The password was not sent, because it is not certain who would read it."

KAFKA: Final[Mapping[str, _Row]] = {
    **{
        code: _Row("KAFKA-9", "The bootstrap servers cannot be used", _BAD_ADDRESS, (_ADDRESS,))
        for code in (
            "empty",
            "no_port",
            "bad_port",
            "bad_host",
            "http_url",
            "postgres_url",
            "other_url",
            "userinfo",
        )
    },
    "msk": _Row(
        "KAFKA-9",
        "MSK Serverless cannot be used",
        "It signs in with AWS IAM from inside a VPC; neither works from Fly.io.",
        (_PROVIDER,),
    ),
    "protocol": _Row("KAFKA-9", "The security protocol is unknown", "There are four of them.", (_PROTOCOL,)),
    "no_credentials": _Row(
        "KAFKA-9", "User or password is missing", "This protocol signs in with both.", (_USER, _PASSWORD)
    ),
    "upstash": _Row("KAFKA-1", "Upstash Kafka has ended", upstash_explanation(), (_PROVIDER,)),
    "dns": _Row(
        "KAFKA-10",
        "The broker's name does not resolve",
        "The name is misspelt, the cluster is gone, or this machine is offline.",
        (_ADDRESS, _AGAIN),
    ),
    "dns_timeout": _Row(
        "KAFKA-10",
        "The broker's name could not be looked up in time",
        "The name server does not answer; the network or a VPN may be in the way.",
        (_AGAIN, _ADDRESS),
    ),
    "private_name": _Row(
        "KAFKA-10",
        "The broker's name exists only inside Fly's private network",
        "Names ending in `.internal` or `.flycast` cannot be resolved from this machine.",
        (_ADDRESS, _AGAIN),
    ),
    "refused": _Row(
        "KAFKA-11",
        "Nothing listens on the broker's port",
        "The port is wrong, or the cluster is stopped or paused.",
        (_ADDRESS, _AGAIN),
    ),
    "tcp_timeout": _Row(
        "KAFKA-11",
        "The broker does not answer",
        "The port is wrong, or a firewall or an IP allow-list drops the connection. Fly's machines have other "
        "addresses than this one: an allow-list must admit both.",
        (_ADDRESS, _AGAIN),
    ),
    "unreachable": _Row(
        "KAFKA-11", "The broker cannot be reached", "There is no route to it from here.", (_AGAIN, _ADDRESS)
    ),
    "silent": _Row(
        "KAFKA-11",
        "The port accepts connections but stays silent",
        "A proxy or load balancer may stand before a broker that is down, or the port belongs to another service.",
        (_ADDRESS, _AGAIN),
    ),
    "closed": _Row(
        "KAFKA-11",
        "The broker closes the connection",
        "A proxy, an IP allow-list, or a listener that wants another protocol does this.",
        (_PROTOCOL, _ADDRESS, _AGAIN),
    ),
    "plaintext_listener": _Row(
        "KAFKA-4",
        "This port speaks Kafka without TLS",
        "The chosen protocol encrypts, this listener does not. Providers have another port for TLS.",
        (_PROTOCOL, _ADDRESS),
    ),
    "tls_listener": _Row(
        "KAFKA-4",
        "This port speaks TLS",
        "The chosen protocol does not encrypt, this listener does.",
        (_PROTOCOL, _ADDRESS),
    ),
    "tls_timeout": _Row(
        "KAFKA-4",
        "The port never answers the TLS greeting",
        "It may be another service, or a broker without TLS behind a proxy.",
        (_PROTOCOL, _ADDRESS, _AGAIN),
    ),
    "tls_refused": _Row(
        "KAFKA-4",
        "The TLS greeting failed",
        "The two sides found no common way to encrypt, or something in between broke it.",
        (_PROTOCOL, _ADDRESS, _AGAIN),
    ),
    "unknown_ca": _Row(
        "KAFKA-5",
        "The broker's certificate comes from an unknown authority",
        f"Some providers (Aiven) sign with an authority of their own; a company proxy does it too. {_CERTIFICATE}",
        (_CA, _ADDRESS),
    ),
    "self_signed": _Row(
        "KAFKA-5",
        "The broker's certificate is signed by itself",
        f"Nobody vouches for it. {_CERTIFICATE}",
        (_CA, _ADDRESS),
    ),
    "hostname": _Row(
        "KAFKA-5",
        "The broker's certificate is for another name",
        f"The address is not the one in the certificate. {_CERTIFICATE}",
        (_ADDRESS,),
    ),
    "cert_expired": _Row(
        "KAFKA-5",
        "The broker's certificate has expired",
        f"Its owner has to renew it; a wrong clock on this machine looks the same. {_CERTIFICATE}",
        (_AGAIN, _ADDRESS),
    ),
    "cert_not_yet": _Row(
        "KAFKA-5",
        "The broker's certificate is not valid yet",
        f"The clock of this machine may be wrong. {_CERTIFICATE}",
        (_AGAIN,),
    ),
    "ca_file": _Row(
        "KAFKA-5",
        "The CA file holds no certificate",
        "It must be a PEM file: lines between BEGIN CERTIFICATE and END CERTIFICATE.",
        (_CA,),
    ),
    "client_cert": _Row(
        "KAFKA-14",
        "This port wants a client certificate",
        "Providers with both ways to sign in have two ports; user and password belong to the SASL port.",
        (_ADDRESS,),
    ),
    "not_kafka": _Row(
        "KAFKA-12", "Another service answers on this port", "Host or port are of something else.", (_ADDRESS,)
    ),
    "garbled": _Row(
        "KAFKA-12",
        "The answer is not one of a Kafka broker",
        "Another service listens there, or something in between changes the data.",
        (_ADDRESS, _AGAIN),
    ),
    "too_old": _Row(
        "KAFKA-12", "The broker is too old", "Kafka 1.0 or later is needed.", (_ADDRESS, _PROVIDER)
    ),
    "mechanism": _Row(
        "KAFKA-3",
        "The broker does not offer this mechanism",
        "Each listener has its own list of mechanisms.",
        (_MECHANISM,),
    ),
    "mechanism_unknown": _Row(
        "KAFKA-3",
        "The mechanism is unknown",
        "PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 can be used.",
        (_MECHANISM,),
    ),
    "credentials": _Row(
        "KAFKA-2",
        "The broker refuses user or password",
        "One of the two is wrong (brokers say the same for both), the key is of another cluster, or it is so new "
        "that it does not work yet: Confluent Cloud can take ten minutes.",
        (_PASSWORD, _USER, _AGAIN),
    ),
    "server_proof": _Row(
        "KAFKA-2",
        "The broker could not prove that it knows the password",
        "Something else may pretend to be the broker.",
        (_ADDRESS, _PASSWORD),
    ),
    "no_sasl_here": _Row(
        "KAFKA-13",
        "This listener takes no user and password",
        "The port is of a listener without sign-in.",
        (_ADDRESS, _PROTOCOL),
    ),
    "sasl_required": _Row(
        "KAFKA-13",
        "This listener wants a user and a password",
        "The chosen protocol does not sign in.",
        (_PROTOCOL, _USER),
    ),
    "plain_unencrypted": _Row(
        "KAFKA-13",
        "The password was not sent over an unencrypted connection",
        "PLAIN sends it readable. Use SASL_SSL, or a SCRAM mechanism.",
        (_PROTOCOL, _MECHANISM),
    ),
    "sasl": _Row("KAFKA-13", "The sign-in failed", "The broker gave the reason below.", (_MECHANISM, _AGAIN)),
    "advertised": _Row(
        "KAFKA-7",
        "The cluster sends its clients to an address that fails",
        "The bootstrap server answers, but the brokers advertise another address, and that one is not reachable "
        "from here. Clients would connect and then time out.",
        (_ADDRESS, _AGAIN),
    ),
    **{
        code: _Row(
            "KAFKA-6",
            what,
            "The topic must exist, and this user needs the rights to read and write it and to use its group.",
            (_TOPICS, _USER, _AGAIN),
        )
        for code, what in (
            ("topic_denied", "A topic is missing, or this user may not see it"),
            ("topic_refused", "A topic is missing and may not be created"),
            ("topic_invalid", "A topic's name is not valid"),
            ("topic_missing", "A topic is missing"),
            ("topic_rights", "This user may not do everything with a topic"),
            ("topic", "A topic cannot be used"),
            ("group_denied", "This user may not use the consumer group"),
            ("group", "The consumer group cannot be used"),
        )
    },
}

POSTGRES: Final[Mapping[str, _Row]] = {
    **{
        code: _Row("PG-15", "The database URL cannot be used", why, (_URL,))
        for code, why in (
            ("empty", "A URL looks like `postgresql://user:password@host:5432/database`."),
            ("scheme", "It must begin with `postgresql://` or `postgres://`."),
            ("no_host", "There is no host name in it."),
            ("bad_port", "The port is not a number between 1 and 65535."),
            ("no_user", "There is no user in it."),
            ("no_database", "There is no database name in it."),
            ("encoding", "A character in user or password has to be percent-encoded, such as `@` as `%40`."),
            ("sslmode", "Its `sslmode` is none that Postgres knows."),
        )
    },
    "dns": _Row(
        "PG-16",
        "The database's name does not resolve",
        "The name is misspelt, the database is gone, or this machine is offline.",
        (_URL, _AGAIN),
    ),
    "dns_timeout": _Row(
        "PG-16",
        "The database's name could not be looked up in time",
        "The name server does not answer; the network or a VPN may be in the way.",
        (_AGAIN, _URL),
    ),
    "private_name": _Row(
        "PG-13",
        "The database's name exists only inside Fly's private network",
        "Names ending in `.flympg.net`, `.internal` or `.flycast` cannot be resolved from this machine. "
        "`fly mpg proxy` leads there.",
        (_AGAIN, _URL),
    ),
    "refused": _Row(
        "PG-17",
        "Nothing listens on the database's port",
        "The port is wrong, or the database is stopped.",
        (_URL, _AGAIN),
    ),
    "tcp_timeout": _Row(
        "PG-17",
        "The database does not answer",
        "The port is wrong, or a firewall or an IP allow-list drops the connection. Fly's machines have other "
        "addresses than this one: an allow-list must admit both.",
        (_URL, _AGAIN),
    ),
    "unreachable": _Row(
        "PG-17", "The database cannot be reached", "There is no route to it from here.", (_AGAIN, _URL)
    ),
    "silent": _Row(
        "PG-17",
        "The port accepts connections but stays silent",
        "A proxy may stand before a database that is down or still waking up.",
        (_AGAIN, _URL),
    ),
    "closed": _Row(
        "PG-17", "The port closes the connection", "A proxy or an IP allow-list does this.", (_AGAIN, _URL)
    ),
    "not_postgres": _Row(
        "PG-17", "Another service answers on this port", "Host or port are of something else.", (_URL,)
    ),
    "tls_missing": _Row(
        "PG-18",
        "The database does not speak TLS",
        "The URL asks for encryption. Inside Fly's private network `sslmode=disable` is usual; over the internet "
        "it is not safe.",
        (_URL,),
    ),
    "tls_required": _Row(
        "PG-18",
        "The database wants TLS",
        "The URL switches it off; `sslmode=require` switches it on.",
        (_URL,),
    ),
    "tls_refused": _Row(
        "PG-18", "The TLS greeting failed", "The two sides found no common way to encrypt.", (_URL, _AGAIN)
    ),
    "ca_file": _Row(
        "PG-19",
        "The CA file cannot be read",
        "`sslrootcert` in the URL names a file that is not here, or is not in PEM form.",
        (_URL,),
    ),
    **{
        code: _Row(
            "PG-19",
            what,
            "The URL asks for the certificate to be checked. `sslmode=require` encrypts without the check.",
            (_URL, _AGAIN),
        )
        for code, what in (
            ("unknown_ca", "The database's certificate comes from an unknown authority"),
            ("self_signed", "The database's certificate is signed by itself"),
            ("hostname", "The database's certificate is for another name"),
            ("cert_expired", "The database's certificate has expired"),
            ("cert_not_yet", "The database's certificate is not valid yet"),
        )
    },
    "client_cert": _Row(
        "PG-19", "The database wants a client certificate", "A password alone is not enough there.", (_URL,)
    ),
    "password": _Row(
        "PG-20",
        "The database refuses user or password",
        "One of the two is wrong, or the password holds a character that must be percent-encoded.",
        (_URL,),
    ),
    "role": _Row(
        "PG-20",
        "The user may not sign in",
        "The role does not exist, may not log in, or is not admitted from this address.",
        (_URL,),
    ),
    "database_missing": _Row(
        "PG-21", "The database does not exist on this server", "Its name in the URL is another.", (_URL,)
    ),
    "connect_denied": _Row(
        "PG-22", "The user may not connect to this database", "The role lacks the right CONNECT.", (_URL,)
    ),
    "rights": _Row(
        "PG-22",
        "The user may not create tables in this database",
        "The schema cannot be run with this role. `GRANT CREATE ON SCHEMA public` by the owner gives the right.",
        (_URL, _AGAIN),
    ),
    "too_many": _Row(
        "PG-9",
        "The database has no connection left",
        "All connection slots are taken by other clients.",
        (_AGAIN, _URL),
    ),
    "starting": _Row(
        "PG-17", "The database is starting or stopping", "It takes no connections yet.", (_AGAIN,)
    ),
    "pooler": _Row(
        "PG-23",
        "The pooler before the database refuses",
        "It does not know the user or database, or a parameter of the URL is not allowed there.",
        (_URL,),
    ),
    "extension_missing": _Row(
        "PG-5",
        "The server does not offer an extension the schema needs",
        "Its files are not installed on the server.",
        (_KIND, _AGAIN),
    ),
    "extension_denied": _Row(
        "PG-7",
        "The user may not create an extension",
        "Only a superuser may. On Managed Postgres it is enabled by `fly mpg databases extensions enable`.",
        (_AGAIN,),
    ),
    "signin": _Row("PG-20", "The sign-in failed", "The server gave the reason below.", (_URL, _AGAIN)),
    "sql": _Row(
        "PG-24",
        "The SQL failed",
        "The statement below was refused. Where the script runs in one transaction, nothing of it was kept.",
        (_AGAIN,),
    ),
    "lost": _Row(
        "PG-10", "The connection broke off", "The server, a proxy or the network ended it.", (_AGAIN,)
    ),
}

_UNKNOWN: Final[Mapping[Kind, _Row]] = {
    "kafka": _Row("UNKNOWN", "The broker could not be proven", "The reason is below.", (_AGAIN, _ADDRESS)),
    "postgres": _Row("UNKNOWN", "The database could not be proven", "The reason is below.", (_AGAIN, _URL)),
}


def problem_id(kind: Kind, stage: Stage) -> str:
    """Return the id of the problem that a failed (or warning) stage stands for; ``UNKNOWN`` for a new code."""
    return _row(kind, stage).id


def stage_problem(kind: Kind, stage: Stage) -> Problem:
    """Return the problem of a failed (or warning) stage: what happened, why, and the remedies; ``raw`` is its text."""
    row = _row(kind, stage)
    offered = [str(m) for m in stage.data.get("mechanisms", ())] if stage.code == "mechanism" else []
    usable = [name for name in offered if name in MECHANISMS]
    better = (Remedy(_MECHANISM[0], f"Choose {' or '.join(usable)}"),) if usable else ()
    others = tuple(Remedy(*pair) for pair in row.remedies if not (usable and pair == _MECHANISM))
    remedies = (*better, *others)
    said = stage.text[:1].upper() + stage.text[1:] if stage.text and row.id != "KAFKA-1" else ""
    why = f"{said}. {row.why}" if said else row.why
    return Problem(row.id, row.what, why, remedies, raw=stage.text)


def _row(kind: Kind, stage: Stage) -> _Row:
    if kind == "kafka" and stage.data.get("upstash"):
        return KAFKA["upstash"]
    table = KAFKA if kind == "kafka" else POSTGRES
    return table.get(stage.code, _UNKNOWN[kind])
