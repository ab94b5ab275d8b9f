"""Owns finding the health routes of an application: shallow for Fly's check, deep for the smoke test."""

from __future__ import annotations

import re

from flywizard.project.model import Evidence
from flywizard.project.survey import Survey

SHALLOW = re.compile(
    r"^(/api)?(/v\d+)?(/[\w-]+)?/_?(health|healthz|livez|live|liveness|ping|healthcheck|health-check|heartbeat|up|alive|status)"
    r"(/live|/liveness|/liveliness)?/?$"
)
DEEP = re.compile(
    r"/(ready|readyz|readiness|health/(ready|readiness|deep|db|database|full|detailed|all)|healthz/ready)/?$"
)


def routes(survey: Survey, reached: set[str], evidence: list[Evidence]) -> tuple[str | None, str | None]:
    """Return (shallow, deep) route, and add their places to the evidence."""
    shallow: list[tuple[bool, bool, int, str, str, int]] = []
    deep: list[tuple[int, str, str, int]] = []
    for path in sorted(reached):
        for route in survey.python[path].routes:
            full = re.sub(r"//+", "/", prefix(survey, reached, path, route.owner) + route.path)
            if len(full) > 1:
                full = full.rstrip("/") if route.path in {"", "/"} else full
            if DEEP.search(full):
                deep.append((len(full), full, path, route.line))
            elif SHALLOW.match(full):
                plain = re.search(r"/(_?health|healthz|livez|live|ping|healthcheck)$", full) is None
                shallow.append((route.deep, plain, len(full), full, path, route.line))
    shallow.sort()
    deep.sort()
    if shallow:
        reaches, _, _, full, path, line = shallow[0]
        evidence.append(
            Evidence(path, line, f"health `{full}`" + (", which reaches further" if reaches else ""))
        )
    if deep:
        evidence.append(Evidence(deep[0][2], deep[0][3], f"deep health `{deep[0][1]}`"))
    return (shallow[0][3] if shallow else None), (deep[0][1] if deep else None)


def prefix(survey: Survey, reached: set[str], path: str, owner: str, depth: int = 0) -> str:
    """Return the prefix under which a router's routes are reached."""
    file = survey.python[path]
    own = file.prefixes.get(owner.rsplit(".", 1)[-1], "")
    if (
        depth > 4
        or any(a.name == owner and not a.factory for a in file.apps)
        or owner in {"app", "application"}
    ):
        return own
    stem = path.removesuffix(".py").removesuffix("/__init__").rsplit("/", 1)[-1]
    full = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") + "." + owner
    for other in sorted(reached):
        includer = survey.python[other]
        for holder, router, outer in includer.includes:
            head, _, attr = router.rpartition(".")
            named = includer.aliases.get(router, "")
            if head:
                module = includer.aliases.get(head, head).lstrip(".")
                same = attr == owner and (full == f"{module}.{attr}" or full.endswith(f".{module}.{attr}"))
                same = same or (attr == owner and head.rsplit(".", 1)[-1] == stem)
            elif other == path:
                same = router == owner
            else:
                bare = named.lstrip(".")
                same = bool(bare) and (full == bare or full.endswith("." + bare))
                same = same or (named.endswith("." + owner) and f".{stem}." in f".{named}")
            if same and not (other == path and holder == owner):
                return prefix(survey, reached, other, holder, depth + 1) + outer + own
    return own
