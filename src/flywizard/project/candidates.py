"""Owns the start commands that a repository names: from fly.toml, Dockerfiles and compose, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from flywizard.project import commands, image_paths, modules, scripts
from flywizard.project.compose import INFRASTRUCTURE, ComposeService, join
from flywizard.project.dockerfile import Dockerfile
from flywizard.project.model import Evidence
from flywizard.project.survey import Survey

Origin: TypeAlias = Literal["fly", "dockerfile", "compose", "hint"]
ONE_SHOT = commands.ONE_SHOT
_JOB = re.compile(
    r"(?:^|[-_])(?:seed\w*|migrat\w*|init|setup|topics?|tests?|db-?init|create|backup|prestart)(?:[-_]|$)"
)
_READY = re.compile(
    r"^(?:docker\.io/)?(?:library/)?(?:node|python|bun|oven/bun|ghcr\.io/astral-sh/uv|astral/uv)(?::|$)"
)
_SECOND = re.compile(
    r"(?:^|[./_-])(?:dev|development|local|test|ci|hf|huggingface|hugging_face|spaces|gpu|cuda|debug)(?:[./_-]|$)",
    re.I,
)


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
    via: Evidence | None = None
    """The script or entry point that was followed."""
    hint: str = ""
    """Its name in another platform's file."""


def roots_of(
    survey: Survey, context: str, dockerfile: str | None, app_dir: str | None = None
) -> tuple[str, ...]:
    """Return the folders that the image's Python path may begin at, the image's own first."""
    known = survey.dockerfiles.get(dockerfile or "")
    out = image_paths.roots(known, context, app_dir) if known else []
    if app_dir and (inside := join(context, app_dir)):
        out.append(inside)
    out.append(context)
    src = join(context, "src")
    if src and survey.tree.is_folder(src):
        out.append(src)
    return tuple(dict.fromkeys(out))


def collect(survey: Survey) -> list[Candidate]:
    """Return all start commands, the nearest to Fly first."""
    if survey.starts is None:
        survey.starts = list(_collected(survey))
    return survey.starts


def _collected(survey: Survey) -> list[Candidate]:
    raw = [*_of_fly(survey), *_of_compose(survey)]
    used = {c.dockerfile for c in raw}
    raw += [
        _of_image(path, image, _context_for(survey, path), survey)
        for path, image in survey.dockerfiles.items()
        if not image.final or not INFRASTRUCTURE.search(image.base_of(image.final))
    ]
    raw += _of_hints(survey)
    out = [followed for candidate in raw for followed in _followed(survey, candidate)]
    by_image: dict[tuple[str | None, str | None], set[str]] = {}
    for c in out:
        if c.origin == "dockerfile" and c.entry:
            by_image.setdefault((c.context, c.dockerfile), set()).add(c.entry)
    # a compose service without a command runs what its image runs
    out = [
        replace(c, entry=next(iter(own)))
        if c.start is None
        and c.origin == "compose"
        and len(own := by_image.get((c.context, c.dockerfile), set())) == 1
        else c
        for c in out
    ]
    rank = {"fly": 0, "dockerfile": 1, "compose": 2, "hint": 3}

    def key(c: Candidate) -> tuple[int, bool, bool, int]:
        second = bool(_SECOND.search(c.dockerfile or "")) if c.origin == "dockerfile" else False
        return (rank[c.origin], c.dockerfile not in used, second, c.evidence.file.count("/"))

    return sorted(out, key=key)


def _of_fly(survey: Survey) -> Iterator[Candidate]:
    for config in survey.fly.values():
        if config.error:
            continue
        build = config.table("build")
        named = build.get("dockerfile")
        dockerfile = join(config.folder, named) if isinstance(named, str) else None
        if dockerfile is None and join(config.folder, "Dockerfile") in survey.dockerfiles:
            dockerfile = join(config.folder, "Dockerfile")
        image = build.get("image") if isinstance(build.get("image"), str) else None
        port = config.service_port
        whole = {"": ""} if not config.processes else config.processes
        for group, text in whole.items():
            serves = group in config.service_groups or len(whole) == 1
            start = commands.parse(text) if text else _image_start(survey, dockerfile)
            place = Evidence(config.path, config.line("processes", group), f"process group `{group}`")
            if not group:
                place = Evidence(config.path, config.line("app"), f"Fly app `{config.app}`")
            yield Candidate(
                "fly",
                start,
                place,
                config.folder,
                dockerfile,
                image,
                fly_config=config.path,
                group=group or None,
                port=port[0] if port and serves else None,
            )


def is_job(service: ComposeService, ended: frozenset[str] = frozenset()) -> bool:
    """Tell whether a compose service runs once and ends (seed, migrate, topics)."""
    if service.name in ended or _JOB.search(service.name):
        return True
    start = commands.parse(service.command) if service.command else None
    if start is None:
        return False
    text = start.text
    if re.search(r"\balembic\s+(?:-\S+\s+)*upgrade\b|prisma (?:migrate|db push)|kafka-topics", text):
        return start.what not in {"asgi", "celery"} and start.module is None
    return start.what == "python" and bool(start.module) and commands.one_shot(str(start.module))


def _of_compose(survey: Survey) -> Iterator[Candidate]:
    services = survey.compose_services()
    ended = frozenset(name for s in services for name in s.completes)
    for service in services:
        context, dockerfile = service.context, service.dockerfile
        image = None if context else service.image
        if context is None and (service.image is None or INFRASTRUCTURE.search(service.image)):
            continue
        if is_job(service, ended) or any(
            re.search(r"^(?:tests?|e2e|tools?|debug)$", p) for p in service.profiles
        ):
            continue
        if image and _READY.search(image):
            if not image.rsplit("/", 1)[-1].startswith("python") or not service.command:
                continue
            mounted = next((m for m in service.mounts if survey.tree.is_folder(m[0])), None)
            if mounted is None:
                continue
            context, image = mounted[0], None
        known = survey.dockerfiles.get(dockerfile or "")
        if known and known.final and INFRASTRUCTURE.search(known.base_of(known.final)):
            continue
        words = service.command
        if service.entrypoint:
            words = f"{commands.text_of(service.entrypoint)} {commands.text_of(words or '')}".strip()
        start = commands.parse(words) if words else None
        if start is not None and start.part == "flower":
            continue
        place = Evidence(
            (service.command_file if service.command else "") or service.file,
            service.command_line if service.command else service.line,
            f"compose service `{service.name}`",
        )
        yield Candidate(
            "compose",
            start,
            place,
            context,
            dockerfile,
            image,
            service.target,
            service.name,
            port=service.ports[0][0] if service.ports else None,
        )


def _of_hints(survey: Survey) -> Iterator[Candidate]:
    for hint in survey.hints:
        if not hint.command or hint.name == "release" or _JOB.search(hint.name):
            continue
        start = commands.parse(hint.command)
        if start.what == "python" and (start.module is None or commands.one_shot(start.module)):
            continue
        if start.what == "other" and not start.script:
            continue
        dockerfile = hint.dockerfile if hint.dockerfile in survey.dockerfiles else None
        place = Evidence(hint.file, hint.line, f"{hint.source} `{hint.name}`" if hint.name else hint.source)
        yield Candidate(
            "hint",
            start,
            place,
            hint.context or hint.folder,
            dockerfile,
            port=hint.port,
            hint=hint.name or hint.source,
        )


def _followed(survey: Survey, candidate: Candidate) -> Iterator[Candidate]:
    start = candidate.start
    if start is None and candidate.origin == "compose" and candidate.dockerfile and not candidate.image:
        # the image's own command: it stands at the Dockerfile, which is a candidate of its own
        yield candidate
        return
    if start is None or candidate.context is None:
        yield candidate
        return
    for one in scripts.follow(survey, start, candidate.context, candidate.dockerfile):
        yield _with_entry(survey, replace(candidate, start=one.start, via=one.via))


def _context_for(survey: Survey, path: str) -> str:
    for service in survey.compose_services():
        if service.dockerfile == path and service.context:
            return str(service.context)
    for config in survey.fly.values():
        named = config.table("build").get("dockerfile")
        if isinstance(named, str) and join(config.folder, named) == path:
            return config.folder
    for hint in survey.hints:
        if hint.dockerfile == path and hint.context and survey.tree.is_folder(hint.context):
            return hint.context
    image = survey.dockerfiles[path]
    folders = [str(p) for p in PurePosixPath(path).parents]
    sources = [
        source
        for stage in image.stages
        for copy in stage.of("COPY", "ADD")
        if not copy.flag("from")
        for source in copy.words()[:-1]
        if not re.search(r"[*$?\[]|^https?:|^/$", source)
    ]
    for folder in folders:
        if all(
            (p := join(folder, s.lstrip("/"))) and (p in survey.tree or survey.tree.is_folder(p))
            for s in sources
        ):
            only_all = sources and all(s.rstrip("/") in {".", ""} for s in sources)
            if only_all and folder != "." and not _has_source(survey, folder):
                continue
            return folder
    return folders[0]


def _has_source(survey: Survey, folder: str) -> bool:
    return any(p.endswith((".py", ".ts", ".tsx", ".js", "package.json")) for p in survey.tree.under(folder))


def _image_start(survey: Survey, dockerfile: str | None) -> commands.Start | None:
    known = survey.dockerfiles.get(dockerfile or "")
    found = known.start() if known else None
    return found[0] if found else None


def _of_image(path: str, image: Dockerfile, context: str, survey: Survey) -> Candidate:
    found = image.start()
    line = found[1].line if found else image.final.line if image.final else 1
    exposed = image.exposed()
    return Candidate(
        "dockerfile",
        found[0] if found else None,
        Evidence(path, line, "start command of the image"),
        context,
        path,
        port=exposed[-1][0] if exposed else None,
    )


def _with_entry(survey: Survey, candidate: Candidate) -> Candidate:
    start = candidate.start
    if start is None or candidate.context is None:
        return candidate
    roots = roots_of(survey, candidate.context, candidate.dockerfile, start.app_dir)
    if start.program == "fastapi" and not start.module:
        names = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
        found = next((f for n in names if (f := modules.find(n, roots, survey.python))), None)
        return replace(candidate, entry=found)
    if not start.module:
        return candidate
    module = re.split(r"[:]", start.module)[0]
    entry = modules.find(module, roots, survey.python)
    if entry is None and start.program == "celery":
        entry = modules.find(module.rpartition(".")[0] or module, roots, survey.python)
    return replace(candidate, entry=entry)
