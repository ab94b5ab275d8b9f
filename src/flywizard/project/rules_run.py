"""Owns the preflight rules about processes and ports (C-20 … C-30, C-101). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flywizard.project import commands
from flywizard.project.candidates import ONE_SHOT, collect
from flywizard.project.model import Evidence, Findings, Objection, Service
from flywizard.project.rules_python import development_script, foreign_start
from flywizard.project.survey import Survey

LOCAL = {"127.0.0.1", "localhost", "::1"}
_TOOLS = frozenset(
    [
        "uvicorn",
        "gunicorn",
        "hypercorn",
        "celery",
        "alembic",
        "http",
        "streamlit",
        "flask",
        "pytest",
        "pip",
        "venv",
        "debugpy",
    ]
)


def _started(service: Service) -> Evidence | None:
    return next((e for e in service.evidence if e.what.startswith("starts `")), None)


def local_host(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-20."""
    for service in findings.services:
        if service.role != "api" or not service.command:
            continue
        start = commands.parse(service.command)
        place = _started(service)
        host = start.host
        entry = survey.python.get(service.entry_file or "")
        if start.what == "python" and entry and entry.run_port:
            host = entry.run_port[0] or "127.0.0.1"
            place = Evidence(entry.path, entry.run_port[2], "uvicorn.run")
        elif host is None and start.program in {"uvicorn", "gunicorn", "hypercorn"}:
            host = "127.0.0.1"
        if host in LOCAL and place:
            fixable = place.file in survey.dockerfiles or any(h in _line(survey, place) for h in LOCAL)
            yield Objection(
                "",
                True,
                f"Fly cannot reach a server that listens on {host} (`{place.file}:{place.line}`).",
                "Add `--host 0.0.0.0`." if start.host is None else f"Listen on 0.0.0.0 instead of {host}.",
                place.file,
                place.line,
                fixable=fixable,
            )


def _line(survey: Survey, place: Evidence) -> str:
    lines = (survey.tree.text(place.file) or "").split("\n")
    return lines[place.line - 1] if place.line <= len(lines) else ""


def ports(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-21."""
    for service in findings.services:
        if service.role not in {"api", "web"}:
            continue
        places: list[tuple[int, str, int]] = []
        image = survey.dockerfiles.get(service.dockerfile or "")
        if image and image.exposed():
            port, line = image.exposed()[-1]
            places.append((port, image.path, line))
        config = survey.fly.get(service.fly_config or "")
        if config and config.service_port:
            places.append((config.service_port[0], config.path, config.service_port[1]))
        for compose in survey.compose_services():
            if compose.name == service.compose_service and compose.ports:
                # compose may override the command, and with it the port
                start = commands.parse(compose.command) if compose.command else None
                if start is None or start.port in (None, service.port):
                    places.append((compose.ports[0][0], compose.file, compose.ports[0][1]))
        known = service.port
        for port, file, line in places:
            if known is None and len({p for p, _, _ in places}) > 1:
                yield Objection(
                    "",
                    True,
                    f"`{service.name}`: `{file}:{line}` says port {port}, and others disagree.",
                    "Name the port in the start command.",
                    file,
                    line,
                )
            elif known is not None and port != known:
                yield Objection(
                    "",
                    True,
                    f"`{service.name}` listens on {known}, `{file}:{line}` says {port}.",
                    f"flywizard uses {known}, the port of the command that will run.",
                    file,
                    line,
                    handled=True,
                    fixable=file in survey.fly or file in survey.dockerfiles,
                    subject=f"{known}>{port}",
                )


def missing_module(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-22."""
    required = "\n".join(survey.requirements.values()).lower().replace("-", "_")
    used = {s.path for s in findings.services} | {s.dockerfile for s in findings.services}
    seen: set[tuple[str, int]] = set()
    for candidate in collect(survey):
        start = candidate.start
        if (
            start is None
            or start.what not in {"asgi", "python"}
            or not start.module
            or candidate.entry
            or candidate.image
            or candidate.origin not in {"fly", "dockerfile", "compose"}
            or candidate.evidence.file.endswith(".sh")
        ):
            continue
        if ONE_SHOT.search(start.module.rsplit(".", 1)[-1]) or candidate.context is None:
            continue
        if foreign_start(survey, candidate):
            continue  # C-25 says more
        top = start.module.split(":")[0].split(".")[0].split("/")[0]
        if top in _TOOLS or re.search(rf"(?m)^\s*[\"']?{re.escape(top.lower())}\b", required):
            continue
        if candidate.origin == "dockerfile" and findings.services and candidate.context not in used:
            continue
        place = (candidate.evidence.file, candidate.evidence.line)
        if place in seen or not any(p.endswith(".py") for p in survey.tree.under(candidate.context)):
            continue
        seen.add(place)
        kind = "script" if start.module.endswith(".py") else "module"
        yield Objection(
            "",
            True,
            f"`{start.text}` (`{place[0]}:{place[1]}`): there is no such {kind} under `{candidate.context}`.",
            "Choose among the modules found.",
            *place,
        )


def no_main(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-23."""
    for service in findings.services:
        file = survey.python.get(service.entry_file or "")
        if service.role != "worker" or file is None or service.framework == "celery":
            continue
        started = commands.parse(service.command) if service.command else None
        if started is None or started.what != "python" or " -c " in f" {started.text} ":
            continue  # others are started by their own program, which imports the module
        if not file.main_line and not file.module_calls and not file.error and not file.apps:
            likely = next(
                (n for n in ("main", "run", "run_worker", "start", "worker") if n in file.functions), None
            )
            remedy = f"Add a start line for `{likely}()`." if likely else "Add a start line."
            yield Objection(
                "",
                True,
                f"`{file.path}` starts nothing: `{service.command}` would end at once.",
                remedy,
                file.path,
                file.functions.get(likely or "", 1),
                fixable=likely is not None,
                subject=likely or "",
            )


def shell_syntax(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-26."""
    for service in findings.services:
        place = _started(service)
        if (
            service.role in {"api", "worker"}
            and service.command
            and place
            and commands.needs_shell(service.command)
        ):
            yield Objection(
                "",
                True,
                f"`{place.file}:{place.line}`: Fly does not run commands in a shell.",
                "flywizard wraps it in `sh -c`.",
                place.file,
                place.line,
                handled=True,
                fixable=place.file in survey.fly,
                subject=service.command,
            )


def no_health(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-30."""
    for service in findings.services:
        if service.role != "api" or service.language != "python":
            continue
        place = next((e for e in service.evidence if e.what.startswith("health `")), None)
        if place is None:
            entry = service.evidence[0] if service.evidence else None
            yield Objection(
                "",
                False,
                f"`{service.name}` has no route that says it is alive.",
                "Add a `GET /health`; until then Fly checks only that the port opens.",
                entry.file if entry else None,
                entry.line if entry else None,
            )
        elif "reaches further" in place.what:
            yield Objection(
                "",
                False,
                f"`{service.health}` (`{place.file}:{place.line}`) reaches further than the process itself: a slow database would make Fly replace machines.",
                "Answer it without the database.",
                place.file,
                place.line,
            )


def development_server(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-101."""
    for path in dict.fromkeys(s.dockerfile for s in findings.services):
        image = survey.dockerfiles.get(path or "")
        start = image.start() if image else None
        if image and start and start[0].development:
            form = start[1].exec_form() or ()
            yield Objection(
                "",
                False,
                f"`{image.path}:{start[1].line}` starts a development server.",
                "Start the production server.",
                image.path,
                start[1].line,
                fixable="--reload" in form or form[:2] == ("fastapi", "dev"),
            )
    yield from development_script(survey, findings)
