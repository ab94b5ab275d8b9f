"""Owns the first proposal: from Findings to a spec with sensible defaults. Pure."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from flywizard.project.commands import needs_shell
from flywizard.project.image_files import STATIC_PORT
from flywizard.project.images import RUNNERS, direct
from flywizard.project.model import EnvName, Findings, Service

if TYPE_CHECKING:
    from flywizard.spec import SchemaSpec, Spec

PLACEHOLDER = re.compile(
    r"replace[-_]?me|your[-_]|change[-_]?me|my-?app|<|xxx|todo|example-app|placeholder", re.IGNORECASE
)
APP_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")
MANAGED_PLAN = "basic"


def app_slug(text: str) -> str:
    """Return the nearest allowed app name, ``app`` where nothing is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50].strip("-")
    return slug if len(slug) > 1 else "app"


def propose(
    findings: Findings,
    *,
    project: str,
    organization: str,
    region: str,
    database: Literal["managed", "unmanaged", "existing", "none"] | None = None,
    broker: Literal["sasl", "fly", "plaintext", "none"] | None = None,
) -> Spec:
    """Return a spec for what was found.

    Args:
        findings: what the repository is.
        project: wished name; made an allowed one.
        organization: slug of the organisation.
        region: three letters.
        database: kind; default ``managed`` where the code wants one.
        broker: kind; default ``sasl`` where the code wants one.
    """
    from flywizard.spec import BrokerSpec, DatabaseSpec, SchemaSpec, SecretSpec, ServiceSpec, Spec

    name = app_slug(project)
    database_kind = database or ("managed" if findings.database.needed else "none")
    broker_kind = broker or ("sasl" if findings.broker.needed else "none")
    apps = _app_names(findings, name)
    configs = _configs(findings, apps)
    secrets: dict[str, SecretSpec] = {}
    services: dict[str, ServiceSpec] = {}
    for service in findings.services:
        if service.role == "other":
            continue
        names = []
        for env in findings.env:
            if service.name not in env.services:
                continue
            source = source_of(env, findings, database_kind, broker_kind)
            if source is not None:
                names.append(env.name)
                secrets.setdefault(env.name, SecretSpec(source=source))
        web = findings.service("web")
        services[service.name] = ServiceSpec(
            role=service.role,
            app=apps[service.name],
            path=_context(service),
            dockerfile=service.dockerfile
            or (
                f"{service.path}/Dockerfile".removeprefix("./")
                if service.path and not service.image
                else None
            ),
            config=configs[service.name],
            command=_command(service) if service.role != "web" else None,
            port=service.port
            or (STATIC_PORT if service.framework == "vite" and not service.dockerfile else None),
            health=service.health,
            deep_health=service.deep_health,
            group=_group(service),
            secrets=names,
            env=_environment(findings, service) if service.role != "web" and web else {},
            build_args=_build_args(findings, service),
            build_target=service.build_target,
            release_command=_release_command(findings, service),
            image=service.image,
        )
    if database_kind == "existing" and findings.database.dsn_env:
        secrets[findings.database.dsn_env] = SecretSpec(source="asked")
    return Spec(
        version=1,
        name=name,
        organization=organization,
        region=region,
        database=DatabaseSpec(
            kind=database_kind,
            name=f"{name}-db" if database_kind in {"managed", "unmanaged"} else None,
            url_secret=(findings.database.dsn_env or "DATABASE_URL") if database_kind == "existing" else None,
            extensions=[e.name for e in findings.database.extensions] if database_kind != "none" else [],
            schema=_schema(findings) if database_kind != "none" else SchemaSpec(),
        ),
        broker=BrokerSpec(
            kind=broker_kind, topics=list(findings.broker.topics) if broker_kind != "none" else []
        ),
        services=services,
        secrets=dict(sorted(secrets.items())),
    )


def _group(service: Service) -> str | None:
    """Return an existing group's name where it isn't the one a service has anyway."""
    usual = "app" if service.role in {"api", "web"} else service.name
    named = service.group if service.group and re.match(r"^[a-z][a-z0-9_-]{0,40}$", service.group) else None
    return None if named == usual else named


def _context(service: Service) -> str | None:
    """Return the build context: the whole workspace where the image needs it."""
    return service.workspace if service.workspace and not service.image else service.path


def _command(service: Service) -> str | None:
    """Return the process command; an image that flywizard makes holds no ``uv`` and no ``poetry`` to run it."""
    command = service.command
    return runnable(
        direct(command) if command and service.dockerfile is None and not service.image else command
    )


def runnable(command: str | None) -> str | None:
    """Return a process command as Fly runs it: through ``sh -c`` where it has shell syntax."""
    return f"sh -c {shlex.quote(command)}" if command and needs_shell(command) else command


def source_of(
    env: EnvName, findings: Findings, database: str, broker: str
) -> Literal["asked", "generated", "derived"] | None:
    """Return where a variable's value comes from; None: it needs no value of ours."""
    if env.build_time:
        return None
    if env.purpose.startswith("database-"):
        if database == "existing" and env.name == findings.database.dsn_env:
            return "asked"
        if env.purpose != "database-part" or env.name in findings.database.parts_env.values():
            return "derived" if database != "none" else "asked" if env.required else None
        return None
    if env.purpose in {"kafka-topic", "kafka-group", "cors"}:
        return "asked" if env.required and env.purpose != "cors" else None
    if env.purpose.startswith("kafka-"):
        if broker == "none":
            return "asked" if env.required else None
        if env.purpose == "kafka-ca":
            return "asked" if env.required else None
        if broker == "plaintext" and env.purpose in {"kafka-mechanism", "kafka-username", "kafka-password"}:
            return None
        return "derived"
    if env.purpose == "signing-key" and env.secret:
        return "generated"
    if env.secret and (env.required or env.default is None or env.default):
        return "asked"
    return "asked" if env.required else None


def _app_names(findings: Findings, project: str) -> dict[str, str]:
    api = findings.service("api")
    out: dict[str, str] = {}
    for service in findings.services:
        own = (
            service.fly_app
            if service.fly_app and APP_NAME.match(service.fly_app) and not PLACEHOLDER.search(service.fly_app)
            else None
        )
        shares = (
            service.role == "worker"
            and api is not None
            and service.path == api.path
            and service.fly_config in (None, api.fly_config)
            and service.dockerfile in (None, api.dockerfile)
            and service.build_target == api.build_target
            and not service.image
        )
        out[service.name] = (
            out[api.name]
            if shares and api and api.name in out
            else own or f"{project}-{app_slug(service.name)}"
        )
    return out


def _configs(findings: Findings, apps: dict[str, str]) -> dict[str, str | None]:
    out: dict[str, str | None] = {}
    by_app: dict[str, str] = {}
    for service in findings.services:
        app = apps[service.name]
        if app not in by_app:
            folder = service.path or "."
            wanted = service.fly_config or (f"{folder}/fly.toml" if folder != "." else "fly.toml")
            if wanted in by_app.values() or (service.path is None and service.fly_config is None):
                stem = f"fly.{app_slug(service.name)}.toml"
                wanted = f"{folder}/{stem}" if folder != "." else stem
            by_app[app] = wanted
        out[service.name] = by_app[app]
    return out


def _environment(findings: Findings, service: Service) -> dict[str, str]:
    out: dict[str, str] = {}
    web = findings.service("web")
    for env in findings.env:
        if env.purpose == "cors" and service.name in env.services and service.role == "api" and web:
            out[env.name] = (
                f'["{{services.{web.name}.url}}"]' if env.json_list else f"{{services.{web.name}.url}}"
            )
    return out


def _build_args(findings: Findings, service: Service) -> dict[str, str]:
    api = findings.service("api")
    out: dict[str, str] = {}
    for env in findings.env:
        if service.role == "web" and env.build_time and env.purpose == "api-url" and api is not None:
            path = urlsplit(env.default).path.rstrip("/") if env.default else ""
            out[env.name] = f"{{services.{api.name}.url}}{path}"
    return out


def _release_command(findings: Findings, service: Service) -> str | None:
    schema = findings.database.schema
    if service.role == "api" and schema.method in {"alembic", "prisma"} and schema.files:
        inside = service.path in (None, ".") or schema.files[0].startswith(f"{service.path}/")
        return _migration(service, schema.command) if inside else None
    return None


def _migration(service: Service, command: str | None) -> str | None:
    """Return the migration's command by the same runner as the service's own (``uv run``), in a form that Fly runs."""
    words = (service.command or "").split()
    if command and words[:2] in RUNNERS and service.dockerfile is not None:
        command = f"{' '.join(words[:2])} {command}"
    return runnable(command)


def _schema(findings: Findings) -> SchemaSpec:
    from flywizard.spec import SchemaSpec

    schema = findings.database.schema
    if schema.method is None:
        return SchemaSpec()
    return SchemaSpec(method=schema.method, files=list(schema.files), command=schema.command)
