"""Owns the start commands that a repository names: from fly.toml, Dockerfiles and compose, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywizard.project import commands, modules
from flywizard.project.compose import INFRASTRUCTURE, join
from flywizard.project.dockerfile import Dockerfile
from flywizard.project.model import Evidence
from flywizard.project.survey import Survey

Origin: TypeAlias = Literal["fly", "dockerfile", "compose"]
ONE_SHOT = re.compile(r"(^|[-_])(seed|migrat\w*|init|setup|topics?|test|tests|db-?init|create)([-_]|$)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One start command and where it was read."""

    origin: Origin
    start: commands.Start | None
    evidence: Evidence
    context: str | None = None
    dockerfile: str | None = None
    image: str | None = None
    target: str | None = None
    compose_service: str | None = None
    fly_config: str | None = None
    group: str | None = None
    entry: str | None = None
    """The Python file that the command starts."""
    port: int | None = None
    """A port named beside it (fly.toml's or compose's)."""


def roots_of(survey: Survey, context: str, dockerfile: str | None) -> tuple[str, ...]:
    """Return the folders that the image's Python path may begin at."""
    out = [context]
    known = survey.dockerfiles.get(dockerfile or "")
    for stage in known.chain() if known else ():
        for copy in stage.of("COPY", "ADD"):
            if copy.flag("from"):
                continue
            *sources, target = copy.words() or ("",)
            for source in sources:
                folder = join(context, source.rstrip("/") or ".")
                if (
                    folder
                    and survey.tree.is_folder(folder)
                    and target.rstrip("/") in {".", "", "/app", "/code", "/srv"}
                ):
                    out.append(folder)
    src = join(context, "src")
    if src and survey.tree.is_folder(src):
        out.append(src)
    return tuple(dict.fromkeys(out))


def collect(survey: Survey) -> list[Candidate]:
    """Return all start commands, the nearest to Fly first."""
    out: list[Candidate] = []
    used: set[str] = set()
    for config in survey.fly.values():
        if config.error:
            continue
        build = config.table("build")
        named = build.get("dockerfile")
        dockerfile = join(config.folder, named) if isinstance(named, str) else None
        if dockerfile is None and join(config.folder, "Dockerfile") in survey.dockerfiles:
            dockerfile = join(config.folder, "Dockerfile")
        context = config.folder
        image = build.get("image") if isinstance(build.get("image"), str) else None
        port = config.service_port
        for group, text in config.processes.items():
            serves = group in config.service_groups or len(config.processes) == 1
            start = commands.parse(text) if text else _image_start(survey, dockerfile)
            out.append(
                _with_entry(
                    survey,
                    Candidate(
                        "fly",
                        start,
                        Evidence(config.path, config.line("processes", group), f"process group `{group}`"),
                        context,
                        dockerfile,
                        image,
                        None,
                        None,
                        config.path,
                        group,
                        None,
                        port[0] if port and serves else None,
                    ),
                )
            )
        if not config.processes:
            out.append(
                _with_entry(
                    survey,
                    Candidate(
                        "fly",
                        _image_start(survey, dockerfile),
                        Evidence(config.path, config.line("app"), f"Fly app `{config.app}`"),
                        context,
                        dockerfile,
                        image,
                        None,
                        None,
                        config.path,
                        None,
                        None,
                        port[0] if port else None,
                    ),
                )
            )
    for service in survey.compose_services():
        if service.context is None and (service.image is None or INFRASTRUCTURE.search(service.image)):
            continue
        if ONE_SHOT.search(service.name) or (
            service.image and re.match(r"(node|python|bun|oven/bun):", service.image)
        ):
            continue
        start = commands.parse(service.command) if service.command else None
        line = service.command_line if service.command else service.line
        if service.dockerfile:
            used.add(service.dockerfile)
        out.append(
            _with_entry(
                survey,
                Candidate(
                    "compose",
                    start,
                    Evidence(service.file, line, f"compose service `{service.name}`"),
                    service.context,
                    service.dockerfile,
                    None if service.context else service.image,
                    service.target,
                    service.name,
                    port=service.ports[0][0] if service.ports else None,
                ),
            )
        )
    for path, dockerfile_ in survey.dockerfiles.items():
        context = _context_for(survey, path)
        out.append(_with_entry(survey, _of_image(path, dockerfile_, context)))
    rank = {"fly": 0, "dockerfile": 1, "compose": 2}
    return sorted(out, key=lambda c: (rank[c.origin], c.dockerfile not in used, c.evidence.file.count("/")))


def _context_for(survey: Survey, path: str) -> str:
    for service in survey.compose_services():
        if service.dockerfile == path and service.context:
            return str(service.context)
    return path.rsplit("/", 1)[0] if "/" in path else "."


def _image_start(survey: Survey, dockerfile: str | None) -> commands.Start | None:
    known = survey.dockerfiles.get(dockerfile or "")
    found = known.start() if known else None
    return found[0] if found else None


def _of_image(path: str, dockerfile: Dockerfile, context: str) -> Candidate:
    found = dockerfile.start()
    line = found[1].line if found else dockerfile.final.line if dockerfile.final else 1
    exposed = dockerfile.exposed()
    return Candidate(
        "dockerfile",
        found[0] if found else None,
        Evidence(path, line, "start command of the image"),
        context,
        path,
        port=exposed[-1][0] if exposed else None,
    )


def _with_entry(survey: Survey, candidate: Candidate) -> Candidate:
    if candidate.start is None or not candidate.start.module or candidate.context is None:
        return candidate
    from dataclasses import replace

    module = re.split(r"[:]", candidate.start.module)[0]
    roots = roots_of(survey, candidate.context, candidate.dockerfile)
    return replace(candidate, entry=modules.find(module, roots, survey.python))
