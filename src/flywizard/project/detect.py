"""Owns detection: from a tree to Findings. Pure; an unknown is None, an ambiguity is a Question, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from flywizard.project import (
    applications,
    detect_broker,
    detect_data,
    detect_node,
    detect_web,
    dotenv_names,
    foreign,
    workspaces,
)
from flywizard.project import survey as surveys
from flywizard.project.candidates import Candidate, collect, roots_of
from flywizard.project.detect_api import api_service, asgi_service, root_for
from flywizard.project.detect_worker import worker_services
from flywizard.project.model import Findings, Objection, Question, Role, Service
from flywizard.project.modules import reachable
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
    web = detect_web.web_services(survey, candidates, answers, questions)
    python = [s for s in (api, *workers) if s is not None]
    node = detect_node.services(survey, candidates, [*python, *web], has_api=api is not None)
    others = _others(survey, candidates, known)
    found = (*python, *node.first, *web, *others, *node.rest)
    services = workspaces.placed(survey.tree, _with_images(candidates, found))
    reached = {s.name: _files_of(survey, s) for s in services if s.language == "python"}
    env = detect_data.environment(survey, services, reached)
    if undecided := _undecided(survey, questions):
        reached[""] = undecided
    database = detect_data.database(survey, services, reached, env, answers, questions)
    broker = detect_broker.broker(survey, services, reached, env)
    complete = any(s.role == "api" for s in services) and bool(web) and (database.needed or broker.needed)
    tree = survey.tree
    known_services = [s for s in services if s.role != "other"]
    return Findings(
        kind="full-stack" if complete else "partial" if known_services or questions else "unsupported",
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
        notes=tuple(foreign.notes(survey, services, database)),
    )


def _undecided(survey: Survey, questions: list[Question]) -> set[str]:
    """Return the files of what a question asks about: whatever the answer, it wants a database or a broker."""
    out: set[str] = set()
    for question in questions:
        for choice in question.choices if question.id in {"service.api", "service.worker"} else ():
            if choice in survey.python:
                folder = choice.rpartition("/")[0] or "."
                out |= reachable(choice, (".", folder), survey.python)
    return out


def _others(survey: Survey, candidates: list[Candidate], known: applications.Applications) -> list[Service]:
    out = []
    for entry in known.others:
        mine = known.commands[entry]
        name = next((n for c in mine if (n := c.compose_service or c.group)), "other")
        out.append(asgi_service(survey, entry, mine, candidates, name, "other"))
    return out


def _files_of(survey: Survey, service: Service) -> set[str]:
    """Return the Python files that a service loads; all of its context where its entry is unknown."""
    context = service.path or "."
    if service.entry_file is None:
        return set(survey.python) & set(survey.tree.under(context))
    roots = roots_of(survey, context, service.dockerfile)
    root = root_for(survey, service.entry_file, context, service.dockerfile)
    return reachable(service.entry_file, tuple(dict.fromkeys((*roots, root))), survey.python)


def _with_images(candidates: list[Candidate], services: tuple[Service, ...]) -> tuple[Service, ...]:
    """Return the services with the ready images that compose runs, and those that only exist as images."""
    out = list(services)
    for candidate in candidates:
        if not candidate.image or candidate.origin != "compose":
            continue
        start = candidate.start
        same = next((i for i, s in enumerate(out) if _is_same(s, candidate)), None)
        if same is not None:
            known = out[same]
            out[same] = replace(
                known,
                image=None if known.dockerfile else candidate.image,
                compose_service=candidate.compose_service or known.compose_service,
                evidence=tuple(dict.fromkeys((*known.evidence, candidate.evidence))),
            )
            continue
        name = candidate.compose_service or "service"
        if any(o.name == name for o in out):
            name = f"{name}-image"
        if any(o.name == name for o in out):
            continue
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


def _is_same(service: Service, candidate: Candidate) -> bool:
    """Tell whether a ready image runs what is already known: the same module, or the service's own image pushed."""
    start = candidate.start
    if start is not None and start.module:
        wanted, module = start.module.removesuffix(".py").replace("/", "."), service.module or ""
        return wanted == module.removesuffix(".py").replace("/", ".")
    name = candidate.compose_service or ""
    if not service.dockerfile or start is not None:
        return False
    return name in {service.compose_service, service.name} or (
        service.role == "api" and applications.API_SERVICE.search(name) is not None
    )


def _role(candidate: Candidate, services: list[Service]) -> Role:
    start = candidate.start
    if start is None:
        return "other"
    if start.what == "asgi":
        return "other" if any(s.role == "api" for s in services) else "api"
    return "worker" if start.what in {"python", "celery"} else "other"
