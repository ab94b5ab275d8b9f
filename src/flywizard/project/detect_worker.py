"""Owns finding the workers: commands beside the API's, or modules that consume and can be started."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard.project import modules
from flywizard.project.candidates import ONE_SHOT, Candidate, roots_of
from flywizard.project.detect_api import context_of, dotted_module, package_manager, python_version
from flywizard.project.model import Evidence, Question, Service
from flywizard.project.survey import Survey


def worker_services(
    survey: Survey,
    candidates: list[Candidate],
    api: Service | None,
    answers: Mapping[str, str],
    questions: list[Question],
) -> list[Service]:
    """Return the workers, in order of their names' first place."""
    named: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        start = candidate.start
        if start is None or start.what not in {"python", "celery"} or candidate.image:
            continue
        if candidate.entry is not None and api is not None and candidate.entry == api.entry_file:
            continue
        if candidate.entry is not None and survey.python[candidate.entry].run_port:
            continue
        key = candidate.entry or start.text
        if start.what == "python" and (
            start.module is None or ONE_SHOT.search(start.module.rsplit(".", 1)[-1].rsplit("/", 1)[-1])
        ):
            continue
        if candidate.entry is None and candidate.origin == "dockerfile" and start.what == "python":
            continue
        named.setdefault(key, []).append(candidate)
    if named:
        return _distinct([_of_command(survey, mine, api) for mine in named.values()])
    return _of_modules(survey, api, answers, questions)


def _distinct(services: list[Service]) -> list[Service]:
    out: list[Service] = []
    for index, service in enumerate(services):
        name = service.name
        if len(services) == 1:
            name = "worker"
        if any(o.name == name for o in out):
            name = f"{name}-{index + 1}"
        from dataclasses import replace

        out.append(replace(service, name=name))
    return out


def _of_command(survey: Survey, mine: list[Candidate], api: Service | None) -> Service:
    best = mine[0]
    assert best.start is not None  # noqa: S101
    fly = next((c for c in mine if c.fly_config), None)
    context = best.context or (api.path if api else None) or "."
    compose = next((c.compose_service for c in mine if c.compose_service), None)
    name = compose or best.group or "worker"
    return Service(
        name,
        "worker",
        context,
        best.dockerfile if best.dockerfile in survey.dockerfiles else None,
        best.start.text,
        None,
        None,
        "python",
        "celery" if best.start.program == "celery" else None,
        tuple(
            Evidence(c.evidence.file, c.evidence.line, f"starts `{c.start.text}`") for c in mine if c.start
        ),
        module=best.start.module,
        entry_file=best.entry,
        package_manager=package_manager(survey, context),
        runtime=python_version(survey, context, best.dockerfile),
        build_target=next((c.target for c in mine if c.target), None),
        compose_service=compose,
        fly_config=fly.fly_config if fly else None,
        fly_app=survey.fly[fly.fly_config].app if fly and fly.fly_config else None,
        group=fly.group if fly else None,
    )


def _of_modules(
    survey: Survey, api: Service | None, answers: Mapping[str, str], questions: list[Question]
) -> list[Service]:
    """Return the one module that consumes and has a ``__main__``; ask where there are several."""
    found: list[str] = []
    for path, file in survey.python.items():
        if file.main_line is None or file.run_port or (api and path == api.entry_file):
            continue
        context = context_of(survey, path)
        reached = modules.reachable(path, roots_of(survey, context, None), survey.python)
        if any(u.consumer for p in reached for u in survey.python[p].kafka):
            found.append(path)
    if not found:
        return []
    path = found[0] if len(found) == 1 else answers.get("service.worker", "")
    if path not in found:
        if answers.get("service.worker") == "none":
            return []
        places = tuple(
            Evidence(p, survey.python[p].main_line or 1, "can be started, and consumes") for p in found
        )
        questions.append(
            Question("service.worker", "Which of these is the worker?", (*sorted(found), "none"), places)
        )
        return []
    context = context_of(survey, path)
    if api and api.path and (api.path == "." or path.startswith(api.path + "/")):
        context = api.path
    module = dotted_module(path, context)
    command = f"python -m {module}"
    return [
        Service(
            "worker",
            "worker",
            context,
            api.dockerfile if api and api.path == context else None,
            command,
            language="python",
            evidence=(Evidence(path, survey.python[path].main_line or 1, f"can be started: `{command}`"),),
            module=module,
            entry_file=path,
            package_manager=package_manager(survey, context),
            runtime=python_version(survey, context, api.dockerfile if api else None),
        )
    ]
