"""Owns the Dockerfiles that flywizard makes for Python services, with pip, uv (a workspace's member too) and Poetry."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from flywizard import __version__
from flywizard.project import commands
from flywizard.project.dockerignore import WANTED
from flywizard.project.images_web import NODE, next_image, static_image

PYTHON = "3.12"
RUNNERS = (["uv", "run"], ["poetry", "run"])

__all__ = ["NODE", "command_words", "direct", "dockerignore", "next_image", "python_image", "static_image"]


def dockerignore() -> str:
    """Return the text of a new .dockerignore."""
    return "\n".join(WANTED) + "\n"


def command_words(command: str) -> list[str]:
    """Return the exec form of a command; through ``sh -c`` where it has shell syntax."""
    return ["sh", "-c", command] if commands.needs_shell(command) else shlex.split(command)


def direct(command: str) -> str:
    """Return a command without ``uv run`` or ``poetry run``, which the made images do not hold."""
    if commands.needs_shell(command):
        return command
    words = shlex.split(command)
    if words[:2] not in RUNNERS:
        return command
    words = words[2:]
    while words and words[0].startswith("--"):
        words = words[1:]
    return shlex.join(words) if words else command


def python_image(
    *,
    package_manager: str,
    command: str,
    port: int | None = None,
    version: str | None = None,
    requirements: str = "",
    files: Sequence[str] = (),
    member: tuple[str, str] | None = None,
    installs_itself: bool = False,
) -> str:
    """Return a Dockerfile for a Python service.

    Args:
        package_manager: pip, uv or poetry.
        command: what the image runs.
        port: what it listens on; None for a worker.
        version: of Python, e.g. ``3.12``.
        requirements: text of the dependency files, to see which system packages are needed.
        files: the requirements files of pip, relative to the context; default ``requirements.txt``.
        member: (folder, package name) of a uv workspace's member; the context is then the workspace.
        installs_itself: the project is a package that its command needs.

    Raises:
        ValueError: another package manager.
    """
    python = version or PYTHON
    source_build = re.search(r"(?m)^\s*[\"']?psycopg2(?!-binary)\b", requirements) is not None
    what = f"port {port}" if port else "no port"
    base = f"python:{python}-slim-bookworm"
    out = [
        f"# Made by flywizard {__version__}: Python {python}, {package_manager}, {what}.",
        f"FROM {base} AS builder",
        "ENV PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1",
        "WORKDIR /app",
    ]
    if source_build:
        out.append(_packages("gcc libc6-dev libpq-dev"))
    match package_manager:
        case "uv":
            out += _uv(member, installs_itself)
        case "poetry":
            out += _poetry(installs_itself)
        case "pip":
            out += _pip(files or ("requirements.txt",), requirements)
        case other:
            raise ValueError(f"no image for {other}")
    out += ["", f"FROM {base}", 'ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1', "WORKDIR /app"]
    if source_build:
        out.append(_packages("libpq5"))
    out += [
        "RUN useradd --system --uid 10001 --no-create-home app",
        "COPY --from=builder /app/.venv ./.venv",
        "COPY . .",
    ]
    if member:
        out.append(f"WORKDIR /app/{member[0]}")
    out.append("USER app")
    if port:
        out.append(f"EXPOSE {port}")
    out.append(f"CMD {json.dumps(command_words(direct(command)))}")
    return "\n".join(out) + "\n"


def _packages(names: str) -> str:
    return (
        f"RUN apt-get update && apt-get install -y --no-install-recommends {names}"
        " && rm -rf /var/lib/apt/lists/*"
    )


def _uv(member: tuple[str, str] | None, installs_itself: bool) -> list[str]:
    out = [
        "RUN pip install --no-cache-dir uv",
        "ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_DEV=1 UV_PYTHON_DOWNLOADS=0",
        "COPY pyproject.toml uv.lock ./",
    ]
    if member:
        folder, name = member
        return [
            *out,
            f"COPY {folder}/pyproject.toml {folder}/pyproject.toml",
            f"RUN uv sync --frozen --no-install-workspace --package {shlex.quote(name)}",
            "COPY . .",
            f"RUN uv sync --locked --package {shlex.quote(name)}",
        ]
    out.append("RUN uv sync --locked --no-install-project")
    return [*out, "COPY . .", "RUN uv sync --locked"] if installs_itself else out


def _poetry(installs_itself: bool) -> list[str]:
    out = [
        "RUN pip install --no-cache-dir poetry",
        "ENV POETRY_VIRTUALENVS_IN_PROJECT=true POETRY_NO_INTERACTION=1 POETRY_CACHE_DIR=/tmp/poetry",
        "COPY pyproject.toml poetry.lock ./",
        "RUN poetry install --only main --no-root",
    ]
    return [*out, "COPY . .", "RUN poetry install --only main"] if installs_itself else out


def _pip(files: Sequence[str], requirements: str) -> list[str]:
    install = f"RUN .venv/bin/pip install --no-cache-dir -r {shlex.quote(files[0])}"
    if re.search(r"(?m)^\s*(-e\s+)?\.{1,2}(/|\[|\s|$)", requirements):
        return ["RUN python -m venv .venv", "COPY . .", install]
    folders: dict[str, list[str]] = {}
    for path in files:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    copies = [
        f"COPY {' '.join(paths)} ./{folder + '/' if folder else ''}" for folder, paths in folders.items()
    ]
    return ["RUN python -m venv .venv", *copies, install]
