"""Owns the reading of a whole tree: every file of interest parsed once, for detection and preflight."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from flywizard.project import (
    compose,
    dockerfile,
    dotenv_names,
    flytoml,
    hints,
    nextjs,
    python_source,
    sql,
    stacks,
)
from flywizard.project.compose import ComposeFile, ComposeService
from flywizard.project.tree import Tree

if TYPE_CHECKING:
    from flywizard.project.candidates import Candidate

DECOYS = frozenset(
    [
        "archive",
        "archived",
        "old",
        "backup",
        "backups",
        "legacy",
        "deprecated",
        "design",
        "docs",
        "doc",
        "examples",
        "example",
        "samples",
        "templates",
        "_archive",
        "attic",
        "playground",
        "prototype",
        "prototypes",
        "experiments",
        "notebooks",
        "tutorials",
    ]
)
_OLD = re.compile(
    r"(?:^|[-_.])(?:old|bak|backup|archived?|legacy|deprecated|obsolete|copy)(?:[-_.]?v?\d*)$|^(?:old|archived?|legacy)[-_]|^\(archived?\)$"
)
_REQUIREMENTS = re.compile(
    r"(?:^|/)requirements(?:[-_/](?:base|prod|production|main|app|common|core))?\.txt$"
)
MAX_PYTHON = 3_000


@dataclass(slots=True)
class Survey:
    """Everything parsed, keyed by path."""

    tree: Tree
    compose: list[ComposeFile] = field(default_factory=list)
    dockerfiles: dict[str, dockerfile.Dockerfile] = field(default_factory=dict)
    python: dict[str, python_source.PythonFile] = field(default_factory=dict)
    tests: set[str] = field(default_factory=set)
    packages: dict[str, nextjs.Package] = field(default_factory=dict)
    next_configs: dict[str, nextjs.NextConfig] = field(default_factory=dict)
    sql: dict[str, sql.SqlFile] = field(default_factory=dict)
    fly: dict[str, flytoml.FlyConfig] = field(default_factory=dict)
    env_names: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    requirements: dict[str, str] = field(default_factory=dict)
    hints: list[hints.Hint] = field(default_factory=list)
    """Second-rank evidence, in the order of the files."""
    services: list[ComposeService] | None = None
    starts: list[Candidate] | None = None

    def compose_services(self) -> list[ComposeService]:
        """Return the services that run: overrides applied, development and test files left out."""
        if self.services is None:
            texts = {
                path: text
                for path in self.tree
                if (hints.SCRIPT.search(path) or hints.DOCUMENT.search(path) or path.endswith("package.json"))
                and not is_decoy(path)
                and (text := self.tree.text(path)) is not None
            }
            combined = stacks.combinations(texts, [f.path for f in self.compose])
            self.services = stacks.merged(self.compose, combined)
        return self.services


def is_decoy(path: str) -> bool:
    """Tell whether a path lies in a folder that is not deployed (docs, archives, examples)."""
    return any(
        part.lower() in DECOYS or _OLD.search(part.lower()) is not None
        for part in PurePosixPath(path).parts[:-1]
    )


def is_test(path: str) -> bool:
    """Tell whether a path belongs to tests."""
    parts = PurePosixPath(path).parts
    name = parts[-1]
    return (
        any(part in {"tests", "test", "e2e", "__tests__"} for part in parts[:-1])
        or name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
    )


def is_dockerfile(path: str) -> bool:
    """Tell whether a file is a Dockerfile by its name."""
    name = path.rsplit("/", 1)[-1]
    return (
        name in {"Dockerfile", "Containerfile", "dockerfile"}
        or (name.startswith("Dockerfile.") and not name.endswith("ignore"))
        or name.endswith((".Dockerfile", ".dockerfile"))
    )


def read(tree: Tree) -> Survey:
    """Parse what is of interest; never raises for what a file holds."""
    out = Survey(tree)
    found: list[str] = []
    for path in tree:
        name = path.rsplit("/", 1)[-1]
        if is_decoy(path):
            continue
        if hints.is_hint(path):
            found.append(path)
        if name.endswith(".py"):
            if is_test(path):
                out.tests.add(path)
            elif len(out.python) < MAX_PYTHON and (text := tree.text(path)) is not None:
                out.python[path] = python_source.read(path, text)
        elif name.startswith(("docker-compose", "compose")) and name.endswith((".yml", ".yaml")):
            if (text := tree.text(path)) is not None:
                out.compose.append(compose.read(path, text))
        elif is_dockerfile(path):
            if (text := tree.text(path)) is not None:
                out.dockerfiles[path] = dockerfile.read(path, text)
        elif name == "package.json":
            if (text := tree.text(path)) is not None:
                out.packages[path] = nextjs.read_package(path, text)
        elif name in nextjs.CONFIGS:
            if (text := tree.text(path)) is not None:
                out.next_configs[path] = nextjs.read_config(path, text)
        elif name.endswith(".sql"):
            if (text := tree.text(path)) is not None:
                out.sql[path] = sql.read(path, text)
        elif flytoml.NAME.search(path):
            if (text := tree.text(path)) is not None:
                out.fly[path] = flytoml.read(path, text)
        elif name in dotenv_names.EXAMPLES or name in dotenv_names.REAL:
            if (text := tree.text(path)) is not None:
                out.env_names[path] = dotenv_names.read(text)
        elif (name in {"pyproject.toml", "Pipfile"} or _REQUIREMENTS.search(path)) and (
            text := tree.text(path)
        ) is not None:
            out.requirements[path] = text
    out.compose.sort(
        key=lambda f: (f.path.count("/"), f.path.rsplit("/", 1)[-1] not in compose.NAMES, f.path)
    )
    out.hints = hints.read(tree, found)
    return out
