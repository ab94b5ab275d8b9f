"""Owns checking JSON against the shapes of the outside contracts: small, strict about names, open to more."""

from __future__ import annotations

import re
from typing import Any

NUMBER = (int, float)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check(value: Any, shape: Any, where: str = "$") -> None:
    """Assert that a value has a shape: a type, a tuple of types, None, [shape], {name: shape}, or a set of values."""
    match shape:
        case dict():
            assert isinstance(value, dict), f"{where} is no object: {value!r}"
            lack = set(shape) - set(value)
            assert not lack, f"{where} lacks {sorted(lack)}"
            for name, inner in shape.items():
                check(value[name], inner, f"{where}.{name}")
        case [inner]:
            assert isinstance(value, list), f"{where} is no list: {value!r}"
            for number, item in enumerate(value):
                check(item, inner, f"{where}[{number}]")
        case frozenset():
            assert value in shape, f"{where}: {value!r} is none of {sorted(map(str, shape))}"
        case re.Pattern():
            assert isinstance(value, str), f"{where} is no text: {value!r}"
            assert shape.fullmatch(value), f"{where}: {value!r} is not like {shape.pattern}"
        case _:
            assert isinstance(value, shape), f"{where}: {value!r} is no {shape}"
            assert not (isinstance(value, bool) and bool not in _types(shape)), f"{where} is a truth value"


def _types(shape: Any) -> tuple[Any, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


NULL = type(None)
TEXT_OR_NULL = (str, NULL)
EVIDENCE = {"file": str, "line": int, "what": str}
INSPECT = {
    "version": frozenset({1}),
    "root": frozenset({"."}),
    "kind": frozenset({"full-stack", "partial", "unsupported"}),
    "services": [
        {
            "name": str, "role": frozenset({"api", "worker", "web", "other"}), "path": TEXT_OR_NULL,
            "dockerfile": TEXT_OR_NULL, "command": TEXT_OR_NULL, "port": (int, NULL), "health": TEXT_OR_NULL,
            "language": TEXT_OR_NULL, "framework": TEXT_OR_NULL, "evidence": [EVIDENCE],
        }
    ],
    "database": {
        "needed": bool, "engine": TEXT_OR_NULL, "driver": TEXT_OR_NULL, "dsn_env": TEXT_OR_NULL,
        "dsn_scheme": TEXT_OR_NULL, "extensions": [{"name": str, "evidence": [EVIDENCE]}],
        "schema": {"method": TEXT_OR_NULL, "files": [str], "command": TEXT_OR_NULL},
    },
    "broker": {
        "needed": bool, "client": TEXT_OR_NULL, "sasl_capable": (bool, NULL), "bootstrap_env": TEXT_OR_NULL,
        "security_env": TEXT_OR_NULL, "topics": [str], "groups": [str],
    },
    "env": [
        {
            "name": str, "services": [str], "required": bool, "secret": bool, "build_time": bool,
            "default": TEXT_OR_NULL, "evidence": [EVIDENCE],
        }
    ],
    "problems": [
        {
            "id": re.compile(r"C-\d+"), "blocking": bool, "when": TEXT_OR_NULL, "handled": bool, "fixable": bool,
            "message": str, "remedy": str, "file": TEXT_OR_NULL, "line": (int, NULL),
        }
    ],
    "questions": [{"id": str, "text": str, "choices": [str]}],
}  # fmt: skip
PLAN = {
    "version": frozenset({1}), "digest": str, "changes": int,
    "monthly_usd": {"total": NUMBER, "items": [{"what": str, "usd": NUMBER, "source": str, "date": str}]},
    "steps": [
        {
            "id": str, "title": str, "needs": [str],
            "verb": frozenset({"create", "reuse", "change", "skip", "run", "set", "write"}), "resource": str,
            "name": str, "why": str, "commands": [[str]], "irreversible": bool, "usd": NUMBER,
        }
    ],
    "files": [{"path": str, "verb": str, "diff": str}],
}  # fmt: skip
DOCTOR = {
    "version": frozenset({1}),
    "ok": bool,
    "checks": [
        {
            "id": str, "title": str, "state": frozenset({"ok", "warn", "failed", "skipped"}), "text": str,
            "fix": str, "seconds": (int, float, NULL),
        }
    ],
}  # fmt: skip
HEAD = {"v": frozenset({1}), "event": str, "time": TIME, "run": str, "rehearsal": bool}
REMEDY = {"action": str, "label": str, "command": TEXT_OR_NULL}
PROBLEM = {"id": str, "what": str, "why": str, "remedies": [REMEDY], "docs": TEXT_OR_NULL, "raw": str}
STEP = HEAD | {"step": str}
EVENTS: dict[str, Any] = {
    "run_started": HEAD,
    "plan_ready": HEAD,
    "step_started": STEP,
    "step_output": STEP | {"stream": frozenset({"stdout", "stderr", "log"}), "text": str},
    "step_progress": STEP | {"done": (int, NULL), "total": (int, NULL), "text": str},
    "step_waiting": STEP,
    "step_skipped": STEP | {"reason": str},
    "step_done": STEP,
    "step_failed": STEP | {"problem": PROBLEM},
    "run_ended": HEAD
    | {"outcome": frozenset({"done", "failed", "interrupted", "nothing-to-do"}), "urls": dict},
}
