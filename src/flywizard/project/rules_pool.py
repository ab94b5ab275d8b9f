"""Owns the preflight rule about connections: pools times processes times machines against the plan (C-45). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flywizard.project.model import Findings, Objection, Pool, Service
from flywizard.project.rules_python import reached
from flywizard.project.survey import Survey

SERVER_CONNECTIONS = 50
"""Of Managed Postgres on the plans Basic and Starter (session mode), where no plan is chosen yet."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a flywizard.toml that is there says: the plan, and the machines of each service."""

    plan: str = "basic"
    machines: Mapping[str, int] | None = None


def choices(survey: Survey) -> Choices:
    """Return what the repository's flywizard.toml says; the defaults where it is missing or wrong."""
    text = survey.tree.text("flywizard.toml")
    if text is None:
        return Choices()
    from flywizard.spec import SpecError, load

    try:
        spec = load(text)
    except SpecError:
        return Choices()
    return Choices(spec.database.plan, {name: service.machines for name, service in spec.services.items()})


def connections_of(plan: str) -> int:
    """Return the server connections of a plan, the smallest plan's where that is not published."""
    from flywizard.cost import postgres_plans

    found = next((p.connections for p in postgres_plans() if p.key == plan), 0)
    return found or SERVER_CONNECTIONS


def pool_sizes(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-45."""
    pools = findings.database.pools
    if not pools:
        return
    chosen = choices(survey)
    parts: list[tuple[str, int]] = []
    for service in findings.services:
        if service.language != "python":
            continue
        size = sum(p.size for p in pools_of(survey, service, pools))
        count = (chosen.machines or {}).get(service.name) or _machines(survey, service)
        parts.append((service.name, size * processes(service.command or "") * count))
    total = sum(number for _, number in parts)
    have = connections_of(chosen.plan)
    if total <= have * 8 // 10:
        return
    place = max(pools, key=lambda p: p.size).evidence
    each = " + ".join(f"{number} `{name}`" for name, number in parts if number)
    yield Objection(
        "",
        False,
        f"Up to {total} connections ({each}; `{place.file}:{place.line}`) against {have} of the plan.",
        "Make the pool smaller, run fewer machines, or choose a larger plan.",
        place.file,
        place.line,
    )


def pools_of(survey: Survey, service: Service, pools: tuple[Pool, ...]) -> list[Pool]:
    """Return the pools that a service's own files open; all of them where its start is not known."""
    files = set(reached(survey, service))
    return [p for p in pools if not files or p.evidence.file in files]


def processes(command: str) -> int:
    """Return how many processes a start command makes (``--workers 4``, ``-w 4``, ``--concurrency=4``)."""
    found = re.search(r"(?:--workers|--web-concurrency|(?<!\S)-w|--concurrency)[= ](\d+)", command)
    return max(1, int(found[1])) if found else 1


def _machines(survey: Survey, service: Service) -> int:
    """Return the machines that an existing fly.toml keeps running for a service, at least one."""
    config = survey.fly.get(service.fly_config or "")
    groups = config.service_groups if config else ()
    if config is None or (groups and service.group not in groups):
        return 1
    least = config.http_service.get("min_machines_running")
    return (
        least
        if isinstance(least, int) and not isinstance(least, bool) and least > 1 and service.role == "api"
        else 1
    )
