"""Owns saved plans: what was decided, with the digest that makes a stale one refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flywizard.draft import Answer


class PlanFileError(ValueError):
    """The file is no plan of flywizard's; says why in words."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved."""

    digest: str
    project: str
    answers: Mapping[str, str]


def encode(plan: Mapping[str, object], answers: Mapping[str, Answer], project: str) -> str:
    """Return the text of a plan file; ``plan`` is the object of ``plan --json``. No secret is in it."""
    body = {
        "flywizard_plan": 1,
        "project": project,
        "digest": plan["digest"],
        "answers": {k: a.value for k, a in sorted(answers.items())},
        "plan": plan,
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def decode(text: str) -> SavedPlan:
    """Read a plan file.

    Raises:
        PlanFileError: it is something else.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise PlanFileError(f"it is not JSON ({error})") from None
    if not isinstance(body, dict) or body.get("flywizard_plan") != 1:
        raise PlanFileError("it was not written by `flywizard plan --out`, or by a newer version")
    answers = body.get("answers")
    if not isinstance(answers, dict) or not isinstance(body.get("digest"), str):
        raise PlanFileError("answers or digest are missing")
    return SavedPlan(
        body["digest"], str(body.get("project", "")), {str(k): str(v) for k, v in answers.items()}
    )
