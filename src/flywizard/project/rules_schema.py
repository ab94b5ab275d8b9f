"""Owns the preflight rules about what database the code really wants (C-41, C-43, C-46, C-100). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from flywizard.project import dotenv_names, nextjs, sql
from flywizard.project.compose import join
from flywizard.project.detect_data import purpose_of
from flywizard.project.model import Findings, Objection
from flywizard.project.rules_python import ignore_of, image_of, python_services, traits
from flywizard.project.survey import Survey, is_test

NOT_UNMANAGED = frozenset({"vector"})
NOT_MANAGED = {"timescaledb", "pg_cron", "pg_partman"}
"""Not among those that Managed Postgres is known to offer; the list of the cluster decides."""
VENDORS = {
    "@neondatabase/serverless": "Neon",
    "@vercel/postgres": "Vercel",
    "@planetscale/database": "PlanetScale",
    "@xata.io/client": "Xata",
}
_VENDOR_SQL = re.compile(
    r"\bauth\.(users|uid|jwt|role)\b|\bstorage\.(objects|buckets)\b|\bneon_auth\.", re.IGNORECASE
)
_READS = re.compile(r"(?:environ(?:\.get)?\s*[\[(]|getenv\s*\()\s*[\"']([A-Z][A-Z0-9_]*)[\"']")
_URL = re.compile(r"\b(postgres(?:ql)?(?:\+\w+)?|mysql\S*)://[^\s\"']*")


def not_offered(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-41."""
    for extension in findings.database.extensions:
        place = extension.evidence
        if extension.name in NOT_UNMANAGED:
            yield Objection(
                "",
                True,
                f"`{place.file}:{place.line}` needs `{extension.name}`, which the image of unmanaged Fly Postgres does not have.",
                "Choose Managed Postgres, or an existing database.",
                place.file,
                place.line,
                when="database.kind=unmanaged",
                subject=extension.name,
            )
        elif extension.name in NOT_MANAGED:
            yield Objection(
                "",
                False,
                f"`{place.file}:{place.line}` needs `{extension.name}`; Managed Postgres may not offer it.",
                "flywizard asks the cluster before it runs the schema. If it is refused, choose an existing database.",
                place.file,
                place.line,
                when="database.kind=managed",
                subject=extension.name,
            )


def refused_url(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-43."""
    driver = findings.database.driver
    if driver is None:
        return
    seen: set[str] = set()
    for path, line, url in _urls(survey, findings):
        fault = _fault(url, driver, rewrites=findings.database.rewrites_scheme)
        if fault is None or path in seen:
            continue
        seen.add(path)
        code = path.endswith(".py")
        yield Objection(
            "",
            True,
            f"`{path}:{line}`: {fault}: the process could not connect.",
            "Take it out of the code." if code and _appended(url) else "flywizard sets the right URL.",
            path,
            line,
            handled=not (code and _appended(url)),
            subject=path,
        )


def _appended(url: str) -> bool:
    return url.startswith("?")


def _fault(url: str, driver: str, *, rewrites: bool) -> str | None:
    if driver == "sqlalchemy+asyncpg" and re.search(r"[?&](sslmode|channel_binding)=", url):
        return "`sslmode` in the URL makes asyncpg fail"
    if driver.startswith("sqlalchemy") and url.startswith("postgres://") and not rewrites:
        return "SQLAlchemy refuses `postgres://`"
    if driver in {"asyncpg", "psycopg", "psycopg2"} and re.match(r"postgresql\+\w+://", url) and not rewrites:
        return f"`{driver}` refuses a scheme with `+`"
    return None


def _urls(survey: Survey, findings: Findings) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, URL) of what is written for the database; never a real .env, never shown."""
    for path in survey.env_names:
        if path.rsplit("/", 1)[-1] in dotenv_names.EXAMPLES:
            yield from _in_text(path, survey.tree.text(path) or "")
    for service in survey.compose_services():
        for name, (value, line) in service.environment.items():
            if value and purpose_of(name) == "database-url" and (found := _URL.search(value)):
                yield service.file, line, found[0]
    for config in survey.fly.values():
        for name, value in config.table("env").items():
            if (
                isinstance(value, str)
                and purpose_of(name) == "database-url"
                and (found := _URL.search(value))
            ):
                yield config.path, config.line("env", name), found[0]
    for _, files in python_services(survey, findings):
        for path in files:
            text = survey.tree.text(path) or ""
            for number, content in enumerate(text.split("\n"), 1):
                if re.search(
                    r"(create_async_engine|DATABASE_URL|database_url)\b.*\+\s*f?[\"']\?sslmode=", content
                ):
                    yield path, number, "?sslmode="


def _in_text(path: str, text: str) -> Iterator[tuple[str, int, str]]:
    for number, content in enumerate(text.split("\n"), 1):
        name, sign, value = content.partition("=")
        if (
            sign
            and purpose_of(name.strip().removeprefix("export ")) == "database-url"
            and (found := _URL.search(value))
        ):
            yield path, number, found[0]


def migrations(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-46."""
    schema, api = findings.database.schema, findings.service("api")
    if schema.method != "alembic" or not schema.files or api is None or api.path is None:
        return
    config = schema.files[0]
    folder = str(PurePosixPath(config).parent)
    text = survey.tree.text(config) or ""
    found = re.search(r"(?m)^\s*script_location\s*=\s*(\S+)", text)
    place = (found[1] if found else "alembic").replace("%(here)s/", "")
    scripts = join(folder, place) or place
    yield from _not_copied(survey, findings, config, scripts)
    yield from _other_source(survey, findings, config, text, join(scripts, "env.py") or "")


def _not_copied(survey: Survey, findings: Findings, config: str, scripts: str) -> Iterator[Objection]:
    api = findings.service("api")
    image = image_of(survey, api) if api else None
    if api is None or image is None:
        return
    known = survey.dockerfiles[api.dockerfile or ""]
    versions = [p for p in survey.tree.under(scripts) if p.endswith(".py")]
    missing = [config] if not image.holds(config) else []
    if versions and not any(image.holds(p) for p in versions):
        missing.append(scripts)
    if not missing:
        return
    base = api.workspace or api.path or "."
    context = "" if base == "." else f"{base}/"
    inside = all(p.startswith(context) for p in missing)
    ignored = ignore_of(survey, base, api.dockerfile)
    hidden = any(ignored(p[len(context) :]) for p in missing)
    line = known.last("CMD") or known.last("ENTRYPOINT")
    names = " and ".join(f"`{p}`" for p in missing)
    yield Objection(
        "",
        True,
        f"`{known.path}` does not copy {names} into the image: the migration would not start, and no release would come through.",
        "Copy them."
        if inside and not hidden
        else "Take them out of .dockerignore."
        if inside
        else "Choose a build context that holds them.",
        known.path,
        line.line if line else known.final.line if known.final else 1,
        fixable=inside and not hidden and line is not None,
        subject=",".join(p[len(context) :] for p in missing),
    )


def _other_source(
    survey: Survey, findings: Findings, config: str, text: str, env: str
) -> Iterator[Objection]:
    code = survey.tree.text(env)
    database = findings.database
    if code is None:
        return
    known = {e.name for e in findings.env}
    names = [
        (n, code.count("\n", 0, m.start()) + 1)
        for m in _READS.finditer(code)
        if purpose_of(n := m[1]).startswith("database-")
    ]
    own = {
        database.dsn_env,
        database.direct_env,
        "DATABASE_URL",
        "DIRECT_DATABASE_URL",
        *database.parts_env.values(),
    }
    strangers = [(n, line) for n, line in names if n not in known and n not in own]
    if names and len(strangers) == len(names) and database.dsn_env:
        name, line = strangers[0]
        yield Objection(
            "",
            True,
            f"`{env}:{line}` reads `{name}`, the application reads `{database.dsn_env}`: the migration would have no database.",
            f"Read `{database.dsn_env}` in both.",
            env,
            line,
            subject=name,
        )
    fixed = re.search(r"(?m)^\s*sqlalchemy\.url\s*=\s*\S*(localhost|127\.0\.0\.1|@db\b|@postgres\b)", text)
    if (
        fixed
        and not names
        and not re.search(
            r"set_main_option|settings|config\.url|environ|getenv|import|create_(async_)?engine\(",
            _without_usual(code),
        )
    ):
        line = text.count("\n", 0, fixed.start(1)) + 1
        yield Objection(
            "",
            True,
            f"`{config}:{line}` fixes the database's address, and `{env}` reads no other: the migration would look for it in its own machine.",
            "Set the URL in `env.py` from the application's settings.",
            config,
            line,
            subject=config,
        )


def _without_usual(code: str) -> str:
    """Drop what Alembic's own template holds from an env.py."""
    usual = r"(?m)^\s*(from logging\.config import fileConfig|from sqlalchemy import .*|from alembic import context|import asyncio|from sqlalchemy\S* import .*|#.*)$"
    return re.sub(usual, "", code)


def vendor(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-100."""
    for file in survey.sql.values():
        text = sql._without_comments(survey.tree.text(file.path) or "")
        found = _VENDOR_SQL.search(text)
        if found and not re.search(r"create\s+schema\s+(if\s+not\s+exists\s+)?auth\b", text, re.IGNORECASE):
            line = text.count("\n", 0, found.start()) + 1
            yield _vendor(
                file.path,
                line,
                f"rests on `{found[0]}`",
                "Supabase" if "neon" not in found[0].lower() else "Neon",
                blocking=file.path in findings.database.schema.files,
            )
    for service in findings.services:
        package = survey.packages.get(join(service.path or ".", "package.json") or "")
        if package is None or service.path is None:
            continue
        for name, who in VENDORS.items():
            if name in package.dependencies() and (place := _imported(survey, service.path, name)):
                yield _vendor(*place, f"uses `{name}`", who, blocking=True)
    for _, files in python_services(survey, findings):
        for path in files:
            found_import = next(
                (i for i in traits(survey, path).imports if i.module.split(".")[0] == "supabase"), None
            )
            if found_import and findings.database.driver is None:
                yield _vendor(
                    path, found_import.line, "uses `supabase`, which speaks HTTP", "Supabase", blocking=True
                )
                return


def _imported(survey: Survey, folder: str, name: str) -> tuple[str, int] | None:
    for path in survey.tree.under(folder):
        if path.endswith(nextjs.SOURCES) and not is_test(path):
            text = survey.tree.text(path) or ""
            found = re.search(rf"[\"']{re.escape(name)}[\"']", text)
            if found:
                return path, text.count("\n", 0, found.start()) + 1
    return None


def _vendor(file: str, line: int, what: str, who: str, *, blocking: bool) -> Objection:
    return Objection(
        "",
        blocking,
        f"`{file}:{line}` {what}: this needs {who}'s own database; plain Postgres lacks it.",
        f"Keep the database at {who} (an existing database), or change these lines.",
        file,
        line,
        when="database.kind=managed",
        subject=f"{file}:{line}",
    )
