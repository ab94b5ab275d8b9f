"""Owns the Dockerfiles that flywizard makes where a project has none: FastAPI (pip, uv, Poetry) and Next.js."""

from __future__ import annotations

import json
import re
import shlex

from flywizard import __version__
from flywizard.project import commands
from flywizard.project.dockerignore import WANTED

PYTHON = "3.12"
NODE = "22"


def dockerignore() -> str:
    """Return the text of a new .dockerignore."""
    return "\n".join(WANTED) + "\n"


def command_words(command: str) -> list[str]:
    """Return the exec form of a command; through ``sh -c`` where it has shell syntax."""
    return ["sh", "-c", command] if commands.needs_shell(command) else shlex.split(command)


def python_image(
    *, package_manager: str, command: str, port: int, version: str | None = None, requirements: str = ""
) -> str:
    """Return a Dockerfile for a Python service.

    Args:
        package_manager: pip, uv or poetry.
        command: what the image runs.
        port: what it listens on.
        version: of Python, e.g. ``3.12``.
        requirements: text of the dependency file, to see which system packages are needed.
    """
    python = version or PYTHON
    source_build = re.search(r"(?m)^\s*[\"']?psycopg2(?!-binary)\b", requirements) is not None
    out = [
        f"# Made by flywizard {__version__}: Python {python}, {package_manager}, port {port}.",
        f"FROM python:{python}-slim-bookworm AS builder",
        "ENV PYTHONDONTWRITEBYTECODE=1",
        "WORKDIR /app",
    ]
    if source_build:
        out.append(
            "RUN apt-get update && apt-get install -y --no-install-recommends gcc libpq-dev && rm -rf /var/lib/apt/lists/*"
        )
    match package_manager:
        case "uv":
            out += [
                "RUN pip install --no-cache-dir uv",
                "ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=0",
                "COPY pyproject.toml uv.lock ./",
                "RUN uv sync --locked --no-install-project --no-dev",
            ]
        case "poetry":
            out += [
                "RUN pip install --no-cache-dir poetry",
                "ENV POETRY_VIRTUALENVS_IN_PROJECT=true POETRY_NO_INTERACTION=1",
                "COPY pyproject.toml poetry.lock ./",
                "RUN poetry install --only main --no-root",
            ]
        case "pip":
            out += [
                "RUN python -m venv .venv",
                "COPY requirements.txt ./",
                "RUN .venv/bin/pip install --no-cache-dir -r requirements.txt",
            ]
        case other:
            raise ValueError(f"no image for {other}")
    out += [
        "",
        f"FROM python:{python}-slim-bookworm",
        'ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1',
        "WORKDIR /app",
    ]
    if source_build:
        out.append(
            "RUN apt-get update && apt-get install -y --no-install-recommends libpq5 && rm -rf /var/lib/apt/lists/*"
        )
    out += [
        "RUN useradd --system --uid 10001 app",
        "COPY --from=builder /app/.venv ./.venv",
        "COPY . .",
        "USER app",
        f"EXPOSE {port}",
        f"CMD {json.dumps(command_words(command))}",
    ]
    return "\n".join(out) + "\n"


_NODE_INSTALL = {
    "npm": ("package.json package-lock.json", "npm ci", "npm run build"),
    "yarn": ("package.json yarn.lock", "corepack enable && yarn install --frozen-lockfile", "yarn run build"),
    "pnpm": (
        "package.json pnpm-lock.yaml",
        "corepack enable && pnpm install --frozen-lockfile",
        "corepack enable && pnpm run build",
    ),
}


def next_image(
    *, package_manager: str, public_names: tuple[str, ...] = (), port: int = 3000, version: str | None = None
) -> str:
    """Return a Dockerfile for a Next.js application with ``output: "standalone"``.

    Args:
        package_manager: npm, yarn or pnpm.
        public_names: ``NEXT_PUBLIC_…`` that are frozen in at build time.
        port: what it listens on.
        version: major version of Node.
    """
    if package_manager not in _NODE_INSTALL:
        raise ValueError(f"no image for {package_manager}")
    files, install, build = _NODE_INSTALL[package_manager]
    node = version or NODE
    out = [
        f"# Made by flywizard {__version__}: Node {node}, {package_manager}, port {port}.",
        f"FROM node:{node}-bookworm-slim AS builder",
        "WORKDIR /app",
        f"COPY {files} ./",
        f"RUN {install}",
        "COPY . .",
    ]
    for name in public_names:
        out += [f"ARG {name}", f"ENV {name}=${name}"]
    out += [
        f"RUN mkdir -p public && {build}",
        "",
        f"FROM node:{node}-bookworm-slim",
        "WORKDIR /app",
        f"ENV NODE_ENV=production HOSTNAME=0.0.0.0 PORT={port}",
        "RUN groupadd --system --gid 1001 nodejs && useradd --system --uid 1001 --gid nodejs nextjs",
        "COPY --from=builder /app/public ./public",
        "COPY --from=builder --chown=nextjs:nodejs /app/.next/standalone ./",
        "COPY --from=builder --chown=nextjs:nodejs /app/.next/static ./.next/static",
        "USER nextjs",
        f"EXPOSE {port}",
        'CMD ["node", "server.js"]',
    ]
    return "\n".join(out) + "\n"
