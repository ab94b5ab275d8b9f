"""Shapes of real repositories, in small: each with what a careful reader would say of it, written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from flywizard.project.model import Findings
from tests.fixtures.shapes import SHAPES, Shape
from tests.support.projects import found


def essentials(findings: Findings) -> dict[str, Any]:
    """Return what a shape's expectation may speak about."""
    services = {
        s.name: {
            "role": s.role,
            "path": s.path,
            "dockerfile": s.dockerfile,
            "command": s.command,
            "port": s.port,
            "health": s.health,
            "deep": s.deep_health,
            "framework": s.framework,
            "language": s.language,
            "application": s.application,
            "package_manager": s.package_manager,
            "runtime": s.runtime,
            "entry": s.entry_file,
            "image": s.image,
            "standalone": s.standalone,
            "source": s.source,
            "public": list(s.public_names),
        }
        for s in findings.services
    }
    database, broker = findings.database, findings.broker
    return {
        "kind": findings.kind,
        "services": services,
        "database": {
            "needed": database.needed,
            "engine": database.engine,
            "driver": database.driver,
            "dsn_env": database.dsn_env,
            "dsn_scheme": database.dsn_scheme,
            "rewrites": database.rewrites_scheme,
            "parts": dict(database.parts_env),
            "extensions": [e.name for e in database.extensions],
            "method": database.schema.method,
            "files": list(database.schema.files),
            "dimensions": list(database.vector_dimensions),
            "pools": [p.size for p in database.pools],
        },
        "broker": {
            "needed": broker.needed,
            "client": broker.client,
            "sasl": broker.sasl_capable,
            "bootstrap": broker.bootstrap_env,
            "security": broker.security_env,
            "topics": sorted(broker.topics),
            "groups": sorted(broker.groups),
        },
        "required": sorted(e.name for e in findings.env if e.required),
        "secret": sorted(e.name for e in findings.env if e.secret),
        "questions": {q.id: list(q.choices) for q in findings.questions},
        "notes": sorted(n.what.split(" (")[0].split(":")[0].split(" application")[0] for n in findings.notes),
        "blocking": sorted({p.id for p in findings.problems if p.blocking and p.when is None}),
    }


def compare(expected: Any, real: Any, place: str = "") -> list[str]:
    """Return the differences at every key that is expected; lists and scalars are compared whole."""
    if isinstance(expected, dict) and isinstance(real, dict):
        out: list[str] = []
        for key, value in expected.items():
            if key not in real:
                out.append(f"{place}{key}: missing, there is {sorted(real)}")
            else:
                out += compare(value, real[key], f"{place}{key}.")
        return out
    return [] if expected == real else [f"{place[:-1]}: expected {expected!r}, found {real!r}"]


@pytest.mark.parametrize("shape", SHAPES, ids=[s.name for s in SHAPES])
def test_what_is_read(shape: Shape) -> None:
    findings = found(shape.files)
    real = essentials(findings)
    differences = compare(shape.expected, real)
    wanted = shape.expected.get("services", {})
    if sorted(wanted) != sorted(real["services"]):
        differences.append(f"services: expected {sorted(wanted)}, found {sorted(real['services'])}")
    if "questions" not in shape.expected and real["questions"]:
        differences.append(f"questions: none expected, found {real['questions']}")
    assert differences == []


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.answers], ids=[s.name for s in SHAPES if s.answers])
def test_an_answer_settles_it(shape: Shape) -> None:
    real = essentials(found(shape.files, shape.answers))
    assert compare(shape.answered, real) == []
    assert real["questions"] == {}


@pytest.mark.parametrize("shape", SHAPES, ids=[s.name for s in SHAPES])
def test_every_place_is_a_line_of_a_file(shape: Shape) -> None:
    findings = found(shape.files)
    places = [e for s in findings.services for e in s.evidence]
    places += [e for v in findings.env for e in v.evidence]
    places += [e for q in findings.questions for e in q.evidence]
    places += [*findings.broker.evidence, *findings.database.evidence, *findings.notes]
    for place in places:
        assert place.file in shape.files, place
        assert 1 <= place.line <= shape.files[place.file].count("\n") + 1, place
