"""Owns detection: from a tree to Findings. Pure; an unknown is None, an ambiguity is a Question, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from flywizard.project import applications, detect_broker, detect_data, dotenv_names, nextjs, workspaces
from flywizard.project import survey as surveys
from flywizard.project.candidates import Candidate, collect, roots_of
from flywizard.project.compose import join
from flywizard.project.detect_api import api_service, asgi_service, root_for
from flywizard.project.detect_worker import worker_services
from flywizard.project.model import Evidence, Findings, Objection, Question, Role, Service
from flywizard.project.survey import Survey
from flywizard.project.tree import Tree, scan
from flywizard.text import clean

T = TypeVar("T")


def inspect(root: Path, answers: Mapping[str, str] | None = None) -> Findings:
    """Scan and detect; a path that is no folder gives kind "unsupported" with its problem."""
    try:
        tree = scan(root)
    except OSError:
        return Findings(
            "unsupported",
            problems=(
                Objection(
                    "C-00", True, "There is no such folder.", "Start flywizard in the root of a repository."
                ),
            ),
        )
    return detect(tree, answers)


def detect(tree: Tree, answers: Mapping[str, str] | None = None) -> Findings:
    """Return what a repository is, with preflight's objections.

    Args:
        tree: the snapshot.
        answers: question id to the chosen text, from earlier questions.
    """
    from flywizard.project import preflight

    survey = surveys.read(tree)
    findings = findings_of(survey, answers or {})
    problems = preflight.objections(survey, findings)
    unread = [f"`{path}`: {reason}" for path, reason in sorted(tree.unreadable.items())]
    return cleaned(replace(findings, problems=tuple(problems), skipped=(*findings.skipped, *unread)))


def cleaned(value: T) -> T:
    """Return a value with every text in it cleaned: what a repository says is shown on terminals."""
    out: Any = value
    if isinstance(value, str):
        out = clean(value)
    elif isinstance(value, tuple):
        out = tuple(cleaned(item) for item in value)
    elif isinstance(value, dict):
        out = {cleaned(key): cleaned(item) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        out = replace(value, **{f.name: cleaned(getattr(value, f.name)) for f in fields(value)})
    return out  # type: ignore[no-any-return]


def findings_of(survey: Survey, answers: Mapping[str, str]) -> Findings:
    """Return Findings without objections."""
    candidates = collect(survey)
    questions: list[Question] = []
    known = applications.sort_out(survey, candidates, answers, questions)
    api = api_service(survey, candidates, answers, questions, known)
    workers = worker_services(survey, candidates, api, answers, questions, known)
    web = _web(survey, candidates, answers, questions)
    others = _others(survey, candidates, known)
    services = tuple(s for s in (api, *workers, web, *others) if s is not None)
    services = workspaces.placed(survey.tree, _with_images(candidates, services))
    reached = {s.name: _files_of(survey, s) for s in services if s.language == "python"}
    env = detect_data.environment(survey, services, reached)
    database = detect_data.database(survey, services, reached, env, answers, questions)
    broker = detect_broker.broker(survey, services, reached, env)
    complete = api is not None and web is not None and (database.needed or broker.needed)
    tree = survey.tree
    return Findings(
        kind="full-stack" if complete else "partial" if services or questions else "unsupported",
        services=services,
        database=database,
        broker=broker,
        env=env,
        questions=tuple(questions),
        compose_files=tuple(f.path for f in survey.compose),
        fly_configs=tuple(survey.fly),
        env_files=tuple(p for p in survey.env_names if p.rsplit("/", 1)[-1] in dotenv_names.REAL),
        env_examples=tuple(p for p in survey.env_names if p.rsplit("/", 1)[-1] in dotenv_names.EXAMPLES),
        skipped=tree.skipped,
    )


def _others(survey: Survey, candidates: list[Candidate], known: applications.Applications) -> list[Service]:
    out = []
    for entry in known.others:
        mine = known.commands[entry]
        name = next((n for c in mine if (n := c.compose_service or c.group)), "other")
        out.append(asgi_service(survey, entry, mine, candidates, name, "other"))
    return out


def _files_of(survey: Survey, service: Service) -> set[str]:
    """Return the Python files that a service loads; all of its context where its entry is unknown."""
    from flywizard.project.modules import reachable

    context = service.path or "."
    if service.entry_file is None:
        return set(survey.python) & set(survey.tree.under(context))
    roots = roots_of(survey, context, service.dockerfile)
    root = root_for(survey, service.entry_file, context, service.dockerfile)
    return reachable(service.entry_file, tuple(dict.fromkeys((*roots, root))), survey.python)


def _web(
    survey: Survey, candidates: list[Candidate], answers: Mapping[str, str], questions: list[Question]
) -> Service | None:
    found = [p for p in survey.packages.values() if p.framework]
    folders = {p.path.rpartition("/")[0] or ".": p for p in found}
    if not folders:
        return None
    if len(folders) > 1:
        nextjs_only = {f: p for f, p in folders.items() if p.framework == "nextjs"}
        folders = nextjs_only if len(nextjs_only) == 1 else folders
    if len(folders) > 1:
        built = {c.context for c in candidates if c.origin != "dockerfile"}
        composed = {f: p for f, p in folders.items() if f in built}
        folders = composed if len(composed) == 1 else folders
    folder = next(iter(folders)) if len(folders) == 1 else answers.get("service.web", "")
    if folder not in folders:
        if answers.get("service.web") == "none":
            return None
        places = tuple(Evidence(p.path, p.line("next"), p.framework or "") for p in folders.values())
        questions.append(
            Question("service.web", "Which of these is the web frontend?", (*sorted(folders), "none"), places)
        )
        return None
    package = folders[folder]
    return _web_service(survey, folder, package, [c for c in candidates if c.context == folder])


def _web_service(survey: Survey, folder: str, package: nextjs.Package, mine: list[Candidate]) -> Service:
    tree = survey.tree
    framework = package.framework or "nextjs"
    evidence = [
        Evidence(
            package.path,
            package.line("next" if framework == "nextjs" else "vite"),
            {"nextjs": "Next.js"}.get(framework, "Vite"),
        )
    ]
    dockerfile = next((c.dockerfile for c in mine if c.dockerfile in survey.dockerfiles), None)
    command = port = None
    image = survey.dockerfiles.get(dockerfile or "")
    if image is not None:
        start = image.start()
        exposed = image.exposed()
        named = image.environment().get("PORT", "")
        port = int(named) if named.isdigit() else exposed[-1][0] if exposed else None
        if start:
            command = start[0].text
            evidence.append(Evidence(image.path, start[1].line, f"starts `{command}`"))
    fly = next((c for c in mine if c.fly_config), None)
    port = port or next((c.port for c in mine if c.port), None)
    config = next(
        (
            survey.next_configs[p]
            for n in nextjs.CONFIGS
            if (p := join(folder, n) or "") in survey.next_configs
        ),
        None,
    )
    if config and config.output_line:
        evidence.append(Evidence(config.path, config.output_line, f"output {config.output}"))
    version = nextjs.next_version(package, tree.text(join(folder, "package-lock.json") or ""))
    if version:
        evidence[0] = Evidence(
            evidence[0].file, evidence[0].line, f"Next.js {version}" if framework == "nextjs" else "Vite"
        )
    lock = next((m for n, m in nextjs.LOCKS.items() if (join(folder, n) or "") in tree), None)
    public = {
        r.name
        for path in tree.under(folder)
        if path.endswith(nextjs.SOURCES)
        and not surveys.is_test(path)
        and (text := tree.text(path)) is not None
        for r in nextjs.reads(text)
        if r.name.startswith(nextjs.PUBLIC)
    }
    app = survey.fly[fly.fly_config].app if fly and fly.fly_config else None
    return Service(
        "web",
        "web",
        folder,
        dockerfile,
        command,
        port or (3000 if framework == "nextjs" else None),
        "/",
        "javascript",
        framework,
        tuple(evidence),
        package_manager=package.package_manager() or lock,
        runtime=_node_version(survey, folder, package),
        compose_service=next((c.compose_service for c in mine if c.compose_service), None),
        fly_config=fly.fly_config if fly else None,
        fly_app=app,
        group=fly.group if fly else None,
        public_names=tuple(sorted(public)),
        standalone=(config.output == "standalone" if not config.dynamic else None) if config else False,
        build_target=next((c.target for c in mine if c.target), None),
    )


def _node_version(survey: Survey, folder: str, package: nextjs.Package) -> str | None:
    pinned = survey.tree.text(join(folder, ".nvmrc") or "")
    return pinned.strip().lstrip("v") if pinned and re.match(r"v?\d", pinned.strip()) else package.node()


def _with_images(candidates: list[Candidate], services: tuple[Service, ...]) -> tuple[Service, ...]:
    """Return the services with the ready images that compose runs, and those that only exist as images."""
    out = list(services)
    for candidate in candidates:
        if not candidate.image or candidate.origin != "compose":
            continue
        start = candidate.start
        same = next(
            (
                i
                for i, s in enumerate(out)
                if start and s.module and s.module == start.module and not s.dockerfile
            ),
            None,
        )
        if same is not None:
            out[same] = replace(
                out[same],
                image=candidate.image,
                compose_service=candidate.compose_service,
                evidence=(*out[same].evidence, candidate.evidence),
            )
            continue
        name = candidate.compose_service or "service"
        port = (start.port if start else None) or candidate.port
        role = _role(candidate, out)
        out.append(
            Service(
                name,
                role,
                command=start.text if start else None,
                port=port,
                image=candidate.image,
                evidence=(candidate.evidence,),
                compose_service=name,
            )
        )
    return tuple(out)


def _role(candidate: Candidate, services: list[Service]) -> Role:
    start = candidate.start
    if start is None:
        return "other"
    if start.what == "asgi":
        return "other" if any(s.role == "api" for s in services) else "api"
    return "worker" if start.what in {"python", "celery"} else "other"
