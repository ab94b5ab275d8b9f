"""Owns where every variable of the code gets its value: derived, known, generated, asked, or left to Fly. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flywizard.project.model import EnvName, Findings

Origin = Literal[
    "derived",
    "you",
    "environment",
    "keyring",
    "env-file",
    "generated",
    "fly",
    "stand-in",
    "default",
    "missing",
]
BROKER_SECRETS = {"kafka-username": "broker.username", "kafka-password": "broker.password"}
DATABASE_PURPOSES = ("database-url", "database-direct-url", "database-part")
USER_NAME, PASSWORD_NAME, URL_NAME = "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Item:
    """One variable, settled or not."""

    name: str
    services: tuple[str, ...]
    secret: bool
    required: bool
    origin: Origin
    why: str
    """file:line where the code reads it."""
    value: str | None = None
    """Of a variable that is not secret."""
    may_generate: bool = False
    """Its value is one that flywizard makes where nobody gives another."""
    place: str = ""
    """Of ``env-file``: file and line; of ``derived``: from what."""
    purpose: str = ""

    @property
    def source_word(self) -> Literal["derived", "generated", "env-file", "asked"]:
        """Return what flywizard.toml says under ``[secrets.NAME] source``."""
        match self.origin:
            case "derived" | "generated" | "env-file":
                return self.origin
            case "keyring" | "fly" | "stand-in" if self.may_generate:
                return "generated"
            case _:
                return "asked"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known without asking: names, and for plain variables values."""

    typed: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()
    vault: frozenset[str] = frozenset()
    fly: frozenset[str] = frozenset()
    files: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """Usable entries of ``.env`` files: name to (file:line, value when it is not secret)."""
    plain: Mapping[str, str] = field(default_factory=dict)
    """Values of variables that are not secret, from flywizard.toml or typed."""
    generated: frozenset[str] = frozenset()
    """Names that may be generated."""
    stand_ins: bool = False
    """A rehearsal: what only the user can know gets a marked stand-in."""


def secret_names(findings: Findings) -> tuple[str, str, str]:
    """Return the names under which the broker's user and password and an existing URL are kept."""
    broker = findings.broker
    return (
        broker.username_env or USER_NAME,
        broker.password_env or PASSWORD_NAME,
        findings.database.dsn_env or URL_NAME,
    )


def plan_items(
    findings: Findings, answers: Mapping[str, str], known: Known, web_url: str
) -> tuple[Item, ...]:
    """Settle every variable that a service on Fly reads at run time.

    ``answers`` are question ids to values. What stays ``missing`` has to be asked; an optional variable with
    a default of its own is left to the code.
    """
    items = []
    for env in findings.env:
        if env.build_time or env.name.startswith(("NEXT_PUBLIC_", "VITE_")):
            continue
        item = _settle(env, answers, known, web_url)
        if item is not None:
            items.append(item)
    return tuple(items)


def _settle(env: EnvName, answers: Mapping[str, str], known: Known, web_url: str) -> Item | None:
    why = f"{env.evidence[0].file}:{env.evidence[0].line}" if env.evidence else ""

    def item(origin: Origin, value: str | None = None, place: str = "") -> Item:
        return Item(
            env.name, env.services, env.secret, env.required, origin, why, value,
            env.name in known.generated, place, env.purpose,
        )  # fmt: skip

    derived = _derived(env, answers, web_url)
    if derived is not None:
        value, place = derived
        return item("derived", value, place) if value or env.secret else None
    if env.purpose.startswith("kafka-") and answers.get("broker.kind") == "none" and not env.required:
        return None
    if not env.secret and env.name in known.plain:
        return item("you", known.plain[env.name])
    if env.name in known.typed:
        return item("you")
    if env.name in known.environment:
        return item("environment")
    if env.secret and env.name in known.vault:
        return item("keyring")
    if answers.get("secrets.env_files") == "true" and env.name in known.files:
        place, value = known.files[env.name]
        if env.secret or value is not None:
            return item("env-file", value, place)
    if env.secret and env.name in known.fly:
        return item("fly")
    if env.secret and env.name in known.generated:
        return item("generated")
    if not env.required:
        return None
    if known.stand_ins:
        return item("stand-in", None if env.secret else f"rehearsal-{env.name.lower()}")
    return item("missing")


def _derived(env: EnvName, answers: Mapping[str, str], web_url: str) -> tuple[str | None, str] | None:
    """Return (value when not secret, from what), or None when nothing derives it."""
    sasl = answers.get("broker.kind") == "sasl"
    match env.purpose:
        case "kafka-bootstrap" if sasl:
            return answers.get("broker.bootstrap", ""), "your broker"
        case "kafka-protocol" if sasl:
            return answers.get("broker.protocol", ""), "your broker"
        case "kafka-mechanism" if sasl:
            return answers.get("broker.mechanism", ""), "your broker"
        case "kafka-username" | "kafka-password" if sasl:
            return None, "your broker"
        case "database-url" | "database-direct-url" | "database-part" if answers.get("database.kind") in (
            "managed",
            "existing",
        ):
            return None, "your database"
        case "cors" if web_url:
            return (json.dumps([web_url]) if env.json_list else web_url), "the web address"
        case _:
            return None
