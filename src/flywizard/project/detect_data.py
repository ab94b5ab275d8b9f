"""Owns what the code wants from outside: variables, database, broker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flywizard.project import detect_schema, nextjs, sql
from flywizard.project.compose import join
from flywizard.project.model import (
    Database,
    EnvName,
    Evidence,
    Extension,
    Pool,
    Purpose,
    Question,
    Service,
)
from flywizard.project.python_source import EnvRead
from flywizard.project.survey import Survey, is_decoy, is_test

_SECRET = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIAL|JAAS|SIGNING_KEY|ENCRYPTION_KEY"
    r"|AUTH_KEY|(^|_)DSN($|_)|(DATABASE|POSTGRES|PG|REDIS|MONGO|RABBITMQ|AMQP|DB)_?UR[LI]|CONNECTION_STRING|SASL_USERNAME|ACCOUNT_SID"
)
_NOT_SECRET = re.compile(
    r"(_EXPIRE\w*|_MINUTES|_SECONDS|_TTL|_LENGTH|_LIMIT|_ALGORITHM|_URL_PREFIX|_HEADER|MAX_TOKENS|_TOKENS)$"
)
_PURPOSES: tuple[tuple[str, Purpose], ...] = (
    (r"^(DIRECT_|MIGRATION_)((DATABASE|POSTGRES)_)?UR[LI]$", "database-direct-url"),
    (
        r"^(ASYNC_)?(DATABASE|POSTGRES|POSTGRESQL|PG|DB|SQLALCHEMY_DATABASE)_?(UR[LI]|DSN|CONNECTION_STRING)$",
        "database-url",
    ),
    (
        r"^(POSTGRES(?:QL)?|PG|DB|DATABASE)_?(HOST|HOSTNAME|SERVER|PORT|USER|USERNAME|PASSWORD|PASS|DB|DBNAME|NAME|BASE|DATABASE)$",
        "database-part",
    ),
    (
        r"^(KAFKA_)?BOOTSTRAP_SERVERS?$|^KAFKA_(BROKERS?|BROKERS?_URLS?|BROKER_ADDRESS|BROKER_LIST|URL|HOSTS?|SERVERS?|BOOTSTRAP)$",
        "kafka-bootstrap",
    ),
    (r"^KAFKA_SECURITY_PROTOCOL$", "kafka-protocol"),
    (r"^KAFKA_SASL_MECHANISMS?$", "kafka-mechanism"),
    (r"^KAFKA_(SASL_)?(PLAIN_)?(USERNAME|USER)$|^KAFKA_API_KEY$", "kafka-username"),
    (r"^KAFKA_(SASL_)?(PLAIN_)?PASSWORD$|^KAFKA_API_SECRET$", "kafka-password"),
    (
        r"^KAFKA_(SSL_CA|SSL_CAFILE|SSL_CA_FILE|CA_CERT|CA_PATH|SSL_CA_CERT|SSL_CA_LOCATION|SSL_CERTIFICATE|CA_FILE)$",
        "kafka-ca",
    ),
    (r"^KAFKA_(\w+_)?TOPIC(_\w+)?$", "kafka-topic"),
    (r"^KAFKA_(\w+_)?GROUP(_ID)?$", "kafka-group"),
    (r"^(CORS_|BACKEND_CORS_)?(ALLOW(ED)?_)?ORIGINS?$|^CORS_\w*ORIGINS?$|^BACKEND_CORS_ORIGINS$", "cors"),
    (
        r"^(NEXT_PUBLIC|VITE|PUBLIC)_(\w+_)?(API|BACKEND|SERVER)(_\w+)?_?(URL|BASE|HOST|ENDPOINT|BASE_URL)$|^(NEXT_PUBLIC|VITE)_(API|BACKEND)$",
        "api-url",
    ),
    (r"_(PATH|FILE)$", "file"),
    (
        r"^(JWT_|APP_|SESSION_|WEBHOOK_|AUTH_|NEXTAUTH_|COOKIE_|CSRF_)?(SECRET|SECRET_KEY|SIGNING_KEY|SESSION_KEY|SESSION_SECRET|JWT_SECRET)$|^WEBHOOK_SECRET\w*$|^JWT_SECRET\w*$|^NEXTAUTH_SECRET$",
        "signing-key",
    ),
)
_OWN = re.compile(
    r"^(?!(?:.*_)?(?:TEST|SHADOW|REDIS|MONGO|QDRANT|VECTOR|MYSQL|CHROMA|NEO4J|CLICKHOUSE|GRAPH|LEGACY|SOURCE)_)[A-Z][A-Z0-9]*_(?=(?:\w+_)?(?:KAFKA|POSTGRES|DATABASE|DB|PG)_)"
)
"""A project's own prefix, before a usual name."""
_PART = {
    "HOST": "host",
    "SERVER": "host",
    "PORT": "port",
    "USER": "user",
    "USERNAME": "user",
    "HOSTNAME": "host",
    "PASSWORD": "password",
    "PASS": "password",
    "BASE": "database",
    "DBNAME": "database",
    "DB": "database",
    "NAME": "database",
    "DATABASE": "database",
}


def is_secret(name: str) -> bool:
    """Tell whether a name is one of a secret (secrets.md §6); public build names never are."""
    if name.startswith(nextjs.PUBLIC) or _NOT_SECRET.search(name):
        return False
    return bool(_SECRET.search(name)) and not name.endswith(("_PATH", "_FILE", "_ENABLED"))


def purpose_of(name: str) -> Purpose:
    """Return what a variable is for, by its name; empty where unknown."""
    found: Purpose = next((purpose for pattern, purpose in _PURPOSES if re.search(pattern, name)), "")
    if not found and _OWN.match(name) and not name.startswith(nextjs.PUBLIC):
        return purpose_of(_OWN.sub("", name, count=1))
    if found == "file" and not re.search(r"ACCOUNT|CRED|KEY|CERT|SECRET|TOKEN", name):
        return ""
    return found


def environment(
    survey: Survey, services: Sequence[Service], reached: Mapping[str, set[str]]
) -> tuple[EnvName, ...]:
    """Return the variables that the services read, by name."""
    reads: dict[str, list[tuple[str, EnvRead, Evidence]]] = {}
    for service in services:
        for path in sorted(reached.get(service.name, ())):
            file = survey.python[path]
            for read in file.env:
                place = Evidence(path, read.line, "read here")
                reads.setdefault(read.name, []).append((service.name, read, place))
            if any(m.split(".")[0] == "openai" for m, _ in file.imports):
                line = next(n for m, n in file.imports if m.split(".")[0] == "openai")
                implied = EnvRead("OPENAI_API_KEY", line, False)
                reads.setdefault(implied.name, []).append(
                    (service.name, implied, Evidence(path, line, "read by its client"))
                )
    for service in services:
        if service.language == "javascript" and service.path:
            for name, read, place in _web_reads(survey, service):
                reads.setdefault(read.name, []).append((name, read, place))
    for name, service_name, place in detect_schema.prisma_variables(survey, services):
        reads.setdefault(name, []).append((service_name, EnvRead(name, place.line, True), place))
    return tuple(_merged(name, found) for name, found in sorted(reads.items()))


def _web_reads(survey: Survey, service: Service) -> list[tuple[str, EnvRead, Evidence]]:
    out = []
    for path in survey.tree.under(service.source):
        if not path.endswith(nextjs.SOURCES) or is_test(path) or is_decoy(path):
            continue
        text = survey.tree.text(path)
        for read in nextjs.reads(text) if text else ():
            public = read.name.startswith(nextjs.PUBLIC)
            required = public and not read.default
            out.append(
                (
                    service.name,
                    EnvRead(read.name, read.line, required, read.default or None),
                    Evidence(path, read.line, "read here"),
                )
            )
    return out


def _merged(name: str, found: list[tuple[str, EnvRead, Evidence]]) -> EnvName:
    default = next((r.default for _, r, _ in found if r.default is not None), None)
    return EnvName(
        name,
        tuple(dict.fromkeys(service for service, _, _ in found)),
        required=any(r.required for _, r, _ in found),
        secret=is_secret(name),
        build_time=name.startswith(nextjs.PUBLIC),
        default=default,
        evidence=tuple(dict.fromkeys(place for _, _, place in found)),
        purpose=purpose_of(name),
        json_list=any(r.json_list for _, r, _ in found),
    )


def database(
    survey: Survey,
    services: Sequence[Service],
    reached: Mapping[str, set[str]],
    env: tuple[EnvName, ...],
    answers: Mapping[str, str],
    questions: list[Question],
) -> Database:
    """Return what the code wants of a database."""
    files = sorted(set().union(*reached.values())) if reached else []
    imports = {m for p in files for m, _ in survey.python[p].imports}
    tops = {m.split(".")[0] for m in imports}
    schemes = [(s, p, n) for p in files for s, n in survey.python[p].dsn]
    schemes += [
        (e.default.split("://")[0], e.evidence[0].file, e.evidence[0].line)
        for e in env
        if e.purpose == "database-url" and e.default and "://" in e.default
    ]
    driver = _driver(survey, tops, imports, [s for s, _, _ in schemes]) or _node_driver(survey, services)
    mysql = next((s for s, _, _ in schemes if s.startswith(("mysql", "mariadb"))), None) or next(
        (f.path for f in survey.sql.values() if f.mysql), None
    )
    extensions = _extensions(survey, files)
    schema = detect_schema.schema(survey, services, answers, questions)
    urls = [e for e in env if e.purpose == "database-url"]
    rewrites = any(survey.python[p].rewrites_scheme for p in files)
    evidence = [
        Evidence(p, n, f"imports `{m}`")
        for p in files
        for m, n in survey.python[p].imports
        if m
        in {"asyncpg", "psycopg", "psycopg2", "sqlalchemy", "sqlalchemy.ext.asyncio", "tortoise", "sqlmodel"}
    ]
    parts: dict[str, str] = {}
    for e in env:
        if e.purpose == "database-part":
            parts.setdefault(
                _PART[e.name.rsplit("_", 1)[-1] if "_" in e.name else e.name.removeprefix("PG")], e.name
            )
    whole = {"host", "user", "database"} <= set(parts)
    needed = bool(driver or urls or extensions or schema.method or whole)
    return Database(
        needed=needed,
        engine=("mysql" if mysql else "postgres") if needed else None,
        driver=driver,
        dsn_env=urls[0].name
        if len(urls) == 1
        else next((e.name for e in urls if e.name == "DATABASE_URL"), None),
        dsn_scheme=_scheme(driver, rewrites) if needed else None,
        extensions=extensions,
        schema=schema,
        direct_env=next((e.name for e in env if e.purpose == "database-direct-url"), None),
        parts_env=parts if not urls else {},
        rewrites_scheme=rewrites,
        pools=tuple(
            Pool(size, Evidence(p, n, f"{size} connections at most"))
            for p in files
            for size, n in _pools(survey, p, env)
        ),
        vector_dimensions=tuple(
            dict.fromkeys(
                [d for f in survey.sql.values() for d, _ in f.dimensions]
                + [d for p in files for d, _ in survey.python[p].dimensions]
            )
        ),
        evidence=tuple(evidence[:6]),
    )


def _pools(survey: Survey, path: str, env: tuple[EnvName, ...]) -> list[tuple[int, int]]:
    """Return the pools; a size that comes from a setting is that setting's default."""
    default = next(
        (
            int(e.default)
            for e in env
            if "POOL" in e.name and "SIZE" in e.name and e.default and e.default.isdigit()
        ),
        None,
    )
    return [
        (default if default is not None and size == 10 else size, line)
        for size, line in survey.python[path].pools
    ]


def _driver(survey: Survey, tops: set[str], imports: set[str], schemes: list[str]) -> str | None:
    required = "\n".join(survey.requirements.values())
    if "tortoise" in tops:
        return "tortoise"
    if tops & {"sqlalchemy", "sqlmodel"}:
        for name in ("asyncpg", "psycopg2", "psycopg"):
            if any(s.endswith("+" + name) for s in schemes):
                return f"sqlalchemy+{name}"
        asynchronous = any(m.startswith("sqlalchemy.ext.asyncio") for m in imports)
        if asynchronous and re.search(r"(?m)^\s*[\"']?asyncpg\b", required):
            return "sqlalchemy+asyncpg"
        for name in ("psycopg2", "psycopg", "asyncpg"):
            if re.search(rf"(?m)^\s*[\"']?{name}\b", required):
                return f"sqlalchemy+{name}"
        return None
    return next((name for name in ("asyncpg", "psycopg", "psycopg2") if name in tops), None)


def _node_driver(survey: Survey, services: Sequence[Service]) -> str | None:
    for service in services:
        package = survey.packages.get(join(service.source, "package.json") or "")
        own = package.dependencies() if package and service.language == "javascript" else {}
        for name, driver in (
            ("@prisma/client", "prisma"),
            ("drizzle-orm", "drizzle"),
            ("pg", "pg"),
            ("postgres", "pg"),
        ):
            if name in own:
                return driver
    return None


def _scheme(driver: str | None, rewrites: bool) -> str | None:
    if driver is None:
        return None
    if rewrites or "+" not in driver:
        return "postgres" if driver == "tortoise" else "postgresql"
    return {"sqlalchemy+asyncpg": "postgresql+asyncpg", "sqlalchemy+psycopg": "postgresql+psycopg"}.get(
        driver, "postgresql"
    )


def _extensions(survey: Survey, files: list[str]) -> tuple[Extension, ...]:
    found: dict[str, Extension] = {}
    texts = [*survey.sql.values(), *(s for p in survey.python for s in survey.python[p].sql)]
    for file in texts:
        for written, line in file.extensions:
            name = sql.RIGHT_NAMES.get(written.lower(), written.lower())
            if name != "plpgsql":
                found.setdefault(
                    name,
                    Extension(
                        name,
                        Evidence(file.path, line, f"CREATE EXTENSION {written}"),
                        "" if name == written else written,
                    ),
                )
    for file in texts:
        for name, line in file.implied:
            found.setdefault(name, Extension(name, Evidence(file.path, line, f"uses `{name}`")))
    for path, written, line in detect_schema.prisma_extensions(survey):
        name = sql.RIGHT_NAMES.get(written.lower(), written.lower().replace("uuid_ossp", "uuid-ossp"))
        found.setdefault(name, Extension(name, Evidence(path, line, f"Prisma extension `{written}`")))
    for path in files:
        for size, line in survey.python[path].dimensions:
            found.setdefault("vector", Extension("vector", Evidence(path, line, f"Vector({size})")))
    return tuple(found[name] for name in sorted(found, key=lambda n: (n != "vector", n)))
