"""Owns services in JavaScript beside the front end: Kafka workers and servers, and what is in other languages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from flywizard.project import commands, nextjs
from flywizard.project.applications import WORKER_NAME
from flywizard.project.candidates import Candidate
from flywizard.project.compose import join
from flywizard.project.detect_web import framework_of, node_version, package_manager
from flywizard.project.model import Evidence, Role, Service
from flywizard.project.survey import Survey, is_test

SERVERS = {"@nestjs/core": "nestjs", "express": "express", "fastify": "fastify", "hono": "hono", "koa": "koa"}
LANGUAGES = {
    "go.mod": "go",
    "Cargo.toml": "rust",
    "pom.xml": "java",
    "build.gradle": "java",
    "build.gradle.kts": "kotlin",
    "composer.json": "php",
    "Gemfile": "ruby",
    "mix.exs": "elixir",
}


@dataclass(slots=True)
class Found:
    """What is there beside Python and the front end."""

    first: list[Service] = field(default_factory=list)
    """Workers and servers in JavaScript."""
    rest: list[Service] = field(default_factory=list)
    """Services that flywizard names and does not understand."""


def services(survey: Survey, candidates: list[Candidate], known: list[Service], *, has_api: bool) -> Found:
    """Return the services that commands start and that are none of the known ones."""
    out = Found()
    taken = {s.name for s in known}
    images = {(s.path, s.dockerfile) for s in known if s.dockerfile}
    composed = {s.compose_service for s in known if s.compose_service}
    fronts = {s.source for s in known if s.role == "web"}
    seen: set[tuple[str, str]] = set()
    for candidate in candidates:
        name = candidate.compose_service or candidate.group or ""
        folder = candidate.context
        if folder is None or name in composed or candidate.origin == "hint":
            continue
        if candidate.start and candidate.start.what in {"asgi", "python", "celery"}:
            continue
        if candidate.start is None and (folder, candidate.dockerfile) in images:
            continue
        folder = _package_folder(survey, candidate) or folder
        package = survey.packages.get(join(folder, "package.json") or "")
        if package is not None and not framework_of(survey, package):
            service = _node(survey, candidate, package, folder, name, has_api or bool(out.first))
            if service is not None and (folder, service.command or "") not in seen:
                seen.add((folder, service.command or ""))
                out.first.append(service)
                continue
        if package is not None and folder in fronts and not _starts_worker(candidate):
            continue
        if package is not None and folder in fronts:
            service = _node(survey, candidate, package, folder, name, True)
            if service is not None and (folder, service.command or "") not in seen:
                seen.add((folder, service.command or ""))
                out.first.append(service)
            continue
        language = _language(survey, folder)
        if name and language and name not in taken and not any(s.name == name for s in out.rest):
            out.rest.append(
                Service(
                    name,
                    "other",
                    folder,
                    candidate.dockerfile if candidate.dockerfile in survey.dockerfiles else None,
                    candidate.start.text if candidate.start else None,
                    candidate.port,
                    language=language,
                    evidence=(candidate.evidence,),
                    compose_service=candidate.compose_service,
                )
            )
    if not any(s.role == "worker" for s in (*known, *out.first)):
        out.first += _by_source(survey, fronts, {s.source for s in out.first})
    return out


def _package_folder(survey: Survey, candidate: Candidate) -> str | None:
    """Return the workspace folder of a candidate that is built from the root by a Dockerfile of its own."""
    where = (candidate.dockerfile or "").rpartition("/")[0]
    if where and candidate.context != where and (join(where, "package.json") or "") in survey.packages:
        return where
    return None


def _starts_worker(candidate: Candidate) -> bool:
    start = candidate.start
    return start is not None and bool(
        WORKER_NAME.search(start.module or "") or WORKER_NAME.search(start.package_script or "")
    )


def _node(
    survey: Survey, candidate: Candidate, package: nextjs.Package, folder: str, name: str, has_api: bool
) -> Service | None:
    start = candidate.start
    if start is None:
        image = survey.dockerfiles.get(candidate.dockerfile or "")
        found = image.start() if image else None
        start = found[0] if found else None
    both = package.dependencies()
    server = next((f for n, f in SERVERS.items() if n in both), None)
    consumer = "kafkajs" in both and _consumer(survey, folder) is not None
    role: Role
    if consumer and (server is None or _starts_worker(candidate) or WORKER_NAME.search(name or folder)):
        role = "worker"
    elif server is not None:
        role = "other" if has_api else "api"
    else:
        return None
    return _made(survey, candidate, package, folder, name, role, start, server)


def _made(
    survey: Survey,
    candidate: Candidate | None,
    package: nextjs.Package,
    folder: str,
    name: str,
    role: Role,
    start: commands.Start | None,
    server: str | None,
) -> Service:
    dockerfile = candidate.dockerfile if candidate and candidate.dockerfile in survey.dockerfiles else None
    evidence = [
        Evidence(
            package.path,
            package.line("kafkajs" if role == "worker" else server or "name"),
            "kafkajs" if role == "worker" else server or "Node",
        )
    ]
    if candidate is not None:
        what = f"starts `{start.text}`" if start else candidate.evidence.what
        evidence.append(Evidence(candidate.evidence.file, candidate.evidence.line, what))
    context = candidate.context if candidate and candidate.context else folder
    return Service(
        name if name and role != "api" else role if role != "other" else folder.rsplit("/", 1)[-1],
        role,
        context,
        dockerfile,
        start.text if start else None,
        candidate.port if candidate and role != "worker" else None,
        None,
        "javascript",
        server if role != "worker" else None,
        tuple(evidence),
        package_manager=package_manager(survey, folder, package),
        runtime=node_version(survey, folder, package, dockerfile),
        compose_service=candidate.compose_service if candidate else None,
        fly_config=candidate.fly_config if candidate else None,
        folder=folder if folder != context else None,
    )


def _consumer(survey: Survey, folder: str) -> tuple[str, int] | None:
    """Return the place of the first ``.consumer(`` in a folder's source."""
    for path in survey.tree.under(folder):
        if path.endswith(nextjs.SOURCES) and not is_test(path):
            text = survey.tree.text(path)
            if text and (match := re.search(r"\.consumer\s*\(", nextjs.without_comments(text))):
                return path, text.count("\n", 0, match.start()) + 1
    return None


def _by_source(survey: Survey, fronts: set[str], taken: set[str]) -> list[Service]:
    """Return the packages that consume by kafkajs and have a start script, where no command names them."""
    out: list[Service] = []
    for package in survey.packages.values():
        folder = package.path.rpartition("/")[0] or "."
        if folder in fronts or folder in taken or "kafkajs" not in package.dependencies():
            continue
        consumer = _consumer(survey, folder)
        said = package.scripts()
        named = next((n for n in ("start", "worker", "start:worker", "start:prod") if n in said), None)
        if consumer is None or named is None or framework_of(survey, package):
            continue
        service = _made(survey, None, package, folder, "worker", "worker", commands.parse(said[named]), None)
        out.append(service)
    return out[:1] if len(out) == 1 else []


def _language(survey: Survey, folder: str) -> str | None:
    for name, language in LANGUAGES.items():
        if (join(folder, name) or "") in survey.tree:
            return language
    if (join(folder, "manage.py") or "") in survey.tree:
        return "python"
    return "csharp" if any(p.endswith(".csproj") for p in survey.tree.under(folder)) else None
