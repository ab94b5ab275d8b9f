"""Owns the preflight rules about what is fixed in the code against the chosen broker (C-62, C-63, C-97). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flywizard.project.model import Findings, Objection
from flywizard.project.rules_python import python_services, traits
from flywizard.project.survey import Survey

_MSK = re.compile(r"[\w.-]*\.?kafka-serverless\.[\w-]+\.amazonaws\.com", re.IGNORECASE)
PLAIN_ONLY = ("confluent", "eventhubs")
SCRAM_ONLY = ("redpanda",)


def _fixed(survey: Survey, findings: Findings) -> dict[tuple[str, str], tuple[str, int]]:
    """Return (kind, literal) to the first place where a client's security is fixed in the code."""
    out: dict[tuple[str, str], tuple[str, int]] = {}
    for _, files in python_services(survey, findings):
        for path in files:
            for kind, value, line in traits(survey, path).security:
                out.setdefault((kind, value), (path, line))
    return out


def contrary(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-62."""
    for (kind, value), (path, line) in _fixed(survey, findings).items():
        if kind == "mechanism":
            wanted, providers = (
                ("PLAIN", PLAIN_ONLY) if value.startswith("SCRAM") else ("SCRAM-SHA-256", SCRAM_ONLY)
            )
            for provider in providers if value.startswith(("SCRAM", "PLAIN")) else ():
                yield _contrary(path, line, value, wanted, f"broker.provider={provider}")
            if value.startswith("SCRAM"):
                yield _contrary(path, line, value, "PLAIN", "broker.kind=fly")
        elif value == "SASL_SSL":
            yield _contrary(path, line, value, "SASL_PLAINTEXT", "broker.kind=fly")
        elif value == "SASL_PLAINTEXT":
            yield _contrary(path, line, value, "SASL_SSL", "broker.kind=sasl")
    broker = findings.broker
    for config in survey.fly.values():
        for name in (broker.security_env, broker.mechanism_env):
            told = config.table("env").get(name) if name else None
            if name and isinstance(told, str):
                place = config.line("env", name)
                yield Objection(
                    "",
                    False,
                    f"`{config.path}:{place}` fixes `{name}` to `{told}`, which another broker may refuse.",
                    "flywizard sets it as a secret, which wins over this line.",
                    config.path,
                    place,
                    handled=True,
                    fixable=True,
                    subject=name,
                )


def _contrary(path: str, line: int, value: str, wanted: str, when: str) -> Objection:
    return Objection(
        "",
        True,
        f"`{path}:{line}` fixes `{value}`; this broker wants `{wanted}`, and the client would never connect.",
        f"Read it from a variable, or write `{wanted}`.",
        path,
        line,
        when=when,
        fixable=True,
        subject=f"{value}>{wanted}:{when}",
    )


def serverless(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-63."""
    for path in dict.fromkeys(
        [*survey.fly, *(f.path for f in survey.compose), *survey.env_names, *survey.python]
    ):
        text = survey.tree.text(path) or ""
        found = _MSK.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            yield Objection(
                "",
                True,
                f"`{path}:{line}`: MSK Serverless lets clients in only by IAM, from inside its own VPC; nothing on Fly can reach it.",
                "Choose another provider, or the private broker.",
                path,
                line,
                when="broker.provider=other",
            )
            return


def only_sasl(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-97."""
    for (kind, value), (path, line) in _fixed(survey, findings).items():
        if kind == "protocol" and value.startswith("SASL"):
            yield Objection(
                "",
                True,
                f"`{path}:{line}` always signs in (`{value}`): a broker without sign-in would refuse it.",
                "Choose the private broker with sign-in or a hosted one, or read the protocol from a variable.",
                path,
                line,
                when="broker.kind=plaintext",
                subject=f"{path}:{line}",
            )
