"""Owns the preflight rules about database, broker, variables and secrets (C-40 … C-69, C-93). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from flywizard.project import dotenv_names, nextjs, sql
from flywizard.project.detect_data import is_secret
from flywizard.project.model import Findings, Objection
from flywizard.project.propose import source_of
from flywizard.project.survey import Survey, is_test

LOCAL_ORIGIN = re.compile(r"^https?://(localhost|127\.0\.0\.1)(:\d+)?/?$")
SASL_LINES = {
    "aiokafka": 'security_protocol="SASL_SSL", sasl_mechanism=…, sasl_plain_username=…, sasl_plain_password=…, ssl_context=ssl.create_default_context()',
    "confluent-kafka": '"security.protocol": "SASL_SSL", "sasl.mechanism": …, "sasl.username": …, "sasl.password": …',
    "kafka-python": 'security_protocol="SASL_SSL", sasl_mechanism=…, sasl_plain_username=…, sasl_plain_password=…',
    "faststream": "security=SASLScram256(username=…, password=…, use_ssl=True)",
    "faust": "broker_credentials=faust.SASLCredentials(username=…, password=…, mechanism=…, ssl_context=…)",
}


def extension_names(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-40."""
    for extension in findings.database.extensions:
        place = extension.evidence
        if extension.written and sql.RIGHT_NAMES.get(extension.written.lower()) == extension.name:
            yield Objection(
                "",
                True,
                f"`{place.file}:{place.line}`: the extension is called `{extension.name}`, not `{extension.written}`.",
                f"Write `{extension.name}`.",
                place.file,
                place.line,
                fixable=place.file.endswith(".sql"),
                subject=f"{extension.written}>{extension.name}",
            )
        elif extension.name not in sql.KNOWN:
            yield Objection(
                "",
                True,
                f"`{place.file}:{place.line}`: there is no extension `{extension.name}` that flywizard knows.",
                "Correct the name, or take the line out.",
                place.file,
                place.line,
            )


def other_engine(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-42."""
    if findings.database.engine == "mysql":
        file, line = next(((f.path, f.mysql) for f in survey.sql.values() if f.mysql), (None, None))
        yield Objection(
            "",
            True,
            "The project uses MySQL; flywizard creates Postgres only.",
            "Choose a database that exists.",
            file,
            line,
            when="database.kind=managed",
        )


def schema_outside(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-44."""
    api, schema = findings.service("api"), findings.database.schema
    if schema.method == "sql" and schema.files and api and api.path not in (None, "."):
        outside = [f for f in schema.files if not f.startswith(f"{api.path}/")]
        if outside:
            yield Objection(
                "",
                False,
                f"`{outside[0]}` is not in the image, so a release command cannot see it.",
                "flywizard runs it over the direct connection.",
                outside[0],
                1,
                handled=True,
            )


def no_sasl(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-60."""
    broker = findings.broker
    if broker.sasl_capable is not False:
        return
    lines = SASL_LINES.get(broker.client or "", "security protocol, mechanism, user and password")
    for place in broker.without_sasl:
        yield Objection(
            "",
            True,
            f"`{place.file}:{place.line}` passes no sign-in: it could never connect to a hosted broker.",
            f"Add {lines}; or choose a private broker.",
            place.file,
            place.line,
            when="broker.kind=sasl",
        )


def upstash(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-61."""
    texts = [*survey.fly, *(f.path for f in survey.compose), *survey.env_names, *survey.python]
    for path in texts:
        text = survey.tree.text(path) or ""
        found = re.search(r"-kafka\.upstash\.io|upstash[ _]kafka", text, re.IGNORECASE)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            yield Objection(
                "",
                True,
                f"`{path}:{line}`: Upstash Kafka was switched off on 2025-03-11.",
                "Choose another provider; if the endpoint still signs in, the proof lets it pass.",
                path,
                line,
                when="broker.provider=upstash",
            )
            return


def unknown_values(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-64."""
    mentioned = {name for names in survey.env_names.values() for name, _ in names}
    mentioned |= {n for s in survey.compose_services() for n in (*s.environment, *s.args)}
    mentioned |= {
        n
        for c in survey.fly.values()
        for t in (c.table("env"), c.table("build").get("args") or {})
        if isinstance(t, dict)
        for n in t
    }
    for env in findings.env:
        if not env.required or env.name in mentioned or env.purpose == "api-url":
            continue
        place = env.evidence[0]
        asked = source_of(env, findings, "managed", "sasl")
        if asked in {"derived", "generated"}:
            continue
        remedy = (
            "flywizard asks for it."
            if asked
            else "Give it a value in `build_args`, or a default in the code."
        )
        yield Objection(
            "",
            True,
            f"`{env.name}` is read in `{place.file}:{place.line}` and has no value anywhere.",
            remedy,
            place.file,
            place.line,
            handled=asked is not None,
            subject=env.name,
        )


def default_secrets(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-65."""
    for env in findings.env:
        if env.secret and env.default and not env.purpose.startswith(("database", "kafka")):
            place = env.evidence[0]
            yield Objection(
                "",
                False,
                f"`{env.name}` would fall back to a public default (`{place.file}:{place.line}`).",
                "flywizard gives it a value of its own.",
                place.file,
                place.line,
                handled=True,
                subject=env.name,
            )


def tracked_secrets(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-66."""
    for path in sorted(survey.tree.tracked or ()):
        name = path.rsplit("/", 1)[-1]
        names = survey.env_names.get(path, ())
        secret = [n for n, _ in names if is_secret(n)]
        if name in dotenv_names.REAL and secret:
            yield Objection(
                "",
                False,
                f"`{path}` is committed and contains {len(secret)} secret-looking names.",
                f"Rotate them, and `git rm --cached {path}`.",
                path,
                names[0][1],
            )
        elif re.search(r"\.(pem|p12|pfx|key)$|^id_(rsa|ed25519)$|service[-_]account.*\.json$", name):
            yield Objection(
                "",
                False,
                f"`{path}` is committed and looks like a key.",
                f"Rotate it, and `git rm --cached {path}`.",
                path,
                1,
            )


def file_secrets(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-67."""
    for env in findings.env:
        if env.purpose == "file":
            place = env.evidence[0]
            yield Objection(
                "",
                env.required,
                f"`{env.name}` wants a file (`{place.file}:{place.line}`).",
                "Mount it by `[[files]]` with `secret_name`, or read the content from a variable.",
                place.file,
                place.line,
                subject=env.name,
            )


def cors(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-68."""
    for path, file in survey.python.items():
        if file.cors is None:
            continue
        origins, credentials, line = file.cors
        if origins and "*" in origins and credentials:
            yield Objection(
                "",
                False,
                f"`{path}:{line}` allows every origin together with credentials, which browsers refuse.",
                "Read the allowed origins from a setting.",
                path,
                line,
            )
        elif origins and all(LOCAL_ORIGIN.match(o) for o in origins):
            yield Objection(
                "",
                False,
                f"`{path}:{line}` allows only localhost: the web app would be blocked.",
                "Read the allowed origins from a setting.",
                path,
                line,
            )


def localhost_in_browser(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-69."""
    for service in findings.services:
        if service.role != "web" or service.path is None:
            continue
        for path in survey.tree.under(service.path):
            name = path.rsplit("/", 1)[-1]
            if (
                not path.endswith(nextjs.SOURCES)
                or is_test(path)
                or re.match(r"(playwright|vitest|jest|cypress|vite)\.", name)
                or re.search(r"\.(test|spec|stories)\.", name)
            ):
                continue
            text = survey.tree.text(path)
            if not text:
                continue
            covered = {(r.default, r.line) for r in nextjs.reads(text) if r.default}
            for address, line in nextjs.local_addresses(text):
                if not any(line == n and (d or "").startswith(address) for d, n in covered):
                    yield Objection(
                        "",
                        True,
                        f"`{path}:{line}`: `{address}` would point at the visitor's own machine.",
                        "Read it from a `NEXT_PUBLIC_…` variable.",
                        path,
                        line,
                    )


def json_lists(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-93."""
    for env in findings.env:
        if not env.json_list:
            continue
        for config in survey.fly.values():
            value = config.table("env").get(env.name)
            if isinstance(value, str) and not _is_json(value):
                line = config.line("env", env.name)
                handled = env.purpose == "cors" and findings.service("web") is not None
                yield Objection(
                    "",
                    True,
                    f'`{env.name}` must be JSON (`["https://…"]`): the plain value in `{config.path}:{line}` stops the process.',
                    "flywizard writes JSON." if handled else "Write JSON.",
                    config.path,
                    line,
                    handled=handled,
                    fixable=True,
                    subject=env.name,
                )
        for service in survey.compose_services():
            plain, line = service.environment.get(env.name, (None, 0))
            if plain and "$" not in plain and not _is_json(plain):
                yield Objection(
                    "",
                    False,
                    f'`{env.name}` must be JSON (`["https://…"]`): `{service.file}:{line}` has a plain value.',
                    "Write JSON there; flywizard does.",
                    service.file,
                    line,
                    handled=True,
                )


def _is_json(value: str) -> bool:
    try:
        return isinstance(json.loads(value), list | dict)
    except ValueError:
        return False
