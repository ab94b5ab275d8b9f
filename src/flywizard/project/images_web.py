"""Owns the Dockerfiles that flywizard makes for web fronts: Next.js standalone, and pages that are built once and served."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from flywizard import __version__

NODE = "22"
SERVER = "nginxinc/nginx-unprivileged:1.28-alpine"
"""A small web server that runs as nobody's user from the start."""


@dataclass(frozen=True, slots=True)
class Packages:
    """How a JavaScript project's packages are installed."""

    manager: str
    """npm, pnpm, yarn or bun."""
    lock: str = ""
    """The lock file's name; default the manager's usual one."""
    pinned: bool = False
    """The field ``packageManager`` names the version, so corepack can fetch it."""
    major: str | None = None
    """The manager's major version where it is not pinned."""
    berry: bool = False
    """Yarn 2 or later."""
    extra: tuple[str, ...] = ()
    """Further files that the install reads (``.npmrc``), and folders with ``/`` at the end (``prisma/``)."""
    build: bool = True
    """package.json has a script ``build``."""


@dataclass(frozen=True, slots=True)
class Member:
    """A workspace's member; the build context is the workspace."""

    folder: str
    name: str
    manifests: tuple[str, ...]
    """The package.json files of the whole workspace, relative to it."""
    turbo: bool = False


_LOCKS = {"npm": "package-lock.json", "pnpm": "pnpm-lock.yaml", "yarn": "yarn.lock", "bun": "bun.lock"}


def _tool(packages: Packages) -> list[str]:
    """Return how the manager itself comes into the image."""
    match packages.manager:
        case "npm":
            return []
        case "bun":
            return [f"RUN npm install --global bun@{packages.major or '1'}"]
        case "pnpm" if not packages.pinned:
            return [f"RUN npm install --global pnpm@{packages.major or '10'}"]
        case "yarn" if not packages.pinned:
            return []  # Node's images hold Yarn 1, which starts the release that .yarnrc.yml names
        case _:
            return ["RUN corepack enable"]


def _install(packages: Packages) -> str:
    match packages.manager:
        case "npm":
            return "npm ci"
        case "pnpm":
            return "pnpm install --frozen-lockfile"
        case "bun":
            return "bun install --frozen-lockfile"
        case _:
            return "yarn install --immutable" if packages.berry else "yarn install --frozen-lockfile"


def _build(packages: Packages, member: Member | None, fallback: str) -> str:
    """Return the build's command line; ``fallback`` where package.json has no script for it."""
    manager = packages.manager
    if member is None:
        return f"{manager} run build" if packages.build else f"npx {fallback}"
    name = shlex.quote(member.name)
    if member.turbo:
        runner = {"npm": "npx", "pnpm": "pnpm exec", "yarn": "yarn", "bun": "bunx"}[manager]
        return f"{runner} turbo run build --filter={name}"
    return {
        "npm": f"npm run build --workspace={shlex.quote(member.folder)}",
        "pnpm": f"pnpm --filter {shlex.quote(member.name + '...')} run build",
        "yarn": f"yarn workspace {name} run build",
        "bun": f"bun run --filter {name} build",
    }[manager]


def _builder(
    packages: Packages,
    names: Sequence[str],
    member: Member | None,
    node: str,
    fallback: str,
    before: str = "",
) -> list[str]:
    """Return the build stage: packages first, in a layer of their own, then the source."""
    lock = packages.lock or _LOCKS[packages.manager]
    out = [f"FROM node:{node}-bookworm-slim AS builder", "WORKDIR /app", *_tool(packages)]
    top = ["package.json", lock, *(e for e in packages.extra if not e.endswith("/"))]
    out.append(f"COPY {' '.join(top)} ./")
    out += [f"COPY {path} ./{path}" for path in packages.extra if path.endswith("/")]
    if member:
        out += [f"COPY {path} ./{path}" for path in member.manifests if path != "package.json"]
    out += [f"RUN {_install(packages)}", "COPY . ."]
    for name in names:
        out += [f"ARG {name}", f"ENV {name}=${name}"]
    out.append(f"RUN {before}{_build(packages, member, fallback)}")
    return out


def _checked(package_manager: str | Packages) -> Packages:
    packages = package_manager if isinstance(package_manager, Packages) else Packages(package_manager)
    if packages.manager not in _LOCKS:
        raise ValueError(f"no image for {packages.manager}")
    return packages


def next_image(
    *,
    package_manager: str | Packages,
    public_names: Sequence[str] = (),
    port: int = 3000,
    version: str | None = None,
    member: Member | None = None,
) -> str:
    """Return a Dockerfile for a Next.js application with ``output: "standalone"``.

    Args:
        package_manager: npm, pnpm, yarn or bun, or how exactly it installs.
        public_names: ``NEXT_PUBLIC_…`` that are frozen in at build time.
        port: what it listens on.
        version: major version of Node.
        member: the workspace's member that it is; next.config must then set ``outputFileTracingRoot``.

    Raises:
        ValueError: another package manager.
    """
    packages = _checked(package_manager)
    node = version or NODE
    place = f"{member.folder}/" if member else ""
    out = [
        f"# Made by flywizard {__version__}: Node {node}, {packages.manager}, port {port}.",
        *_builder(packages, public_names, member, node, "next build", f"mkdir -p {place}public && "),
        "",
        f"FROM node:{node}-bookworm-slim",
        "WORKDIR /app",
        f"ENV NODE_ENV=production HOSTNAME=0.0.0.0 PORT={port}",
        "RUN groupadd --system --gid 1001 nodejs && useradd --system --uid 1001 --gid nodejs nextjs",
        f"COPY --from=builder --chown=nextjs:nodejs /app/{place}.next/standalone ./",
        f"COPY --from=builder --chown=nextjs:nodejs /app/{place}.next/static ./{place}.next/static",
        f"COPY --from=builder /app/{place}public ./{place}public",
        "USER nextjs",
        f"EXPOSE {port}",
        f"CMD {json.dumps(['node', place + 'server.js'])}",
    ]
    return "\n".join(out) + "\n"


def static_image(
    *,
    package_manager: str | Packages,
    public_names: Sequence[str] = (),
    port: int = 8080,
    version: str | None = None,
    member: Member | None = None,
    output: str = "dist",
    fallback: str = "/index.html",
    tool: str = "vite build",
) -> str:
    """Return a Dockerfile for pages that are built once and served by a small web server.

    Args:
        package_manager: npm, pnpm, yarn or bun, or how exactly it installs.
        public_names: ``VITE_…`` that are frozen in at build time.
        port: what the server listens on; above 1023, because it is not root.
        version: major version of Node for the build.
        member: the workspace's member that it is.
        output: the folder that the build fills.
        fallback: what is answered for an unknown path: a single-page application's start, or ``/404.html``.
        tool: the build's command where package.json has no script for it.

    Raises:
        ValueError: another package manager.
    """
    packages = _checked(package_manager)
    node = version or NODE
    place = f"{member.folder}/" if member else ""
    missing = (
        f"try_files $uri $uri/ {fallback};"
        if fallback == "/index.html"
        else "try_files $uri $uri.html $uri/ =404;"
    )
    error = "" if fallback == "/index.html" else f" error_page 404 {fallback};"
    server = (
        f"server {{ listen {port}; root /usr/share/nginx/html;{error} absolute_redirect off; gzip on;"
        " gzip_types text/css application/javascript application/json image/svg+xml;"
        f" location / {{ {missing} add_header Cache-Control no-cache; }}"
        ' location ~ ^/(assets|_next/static)/ { add_header Cache-Control "public, max-age=31536000, immutable"; } }'
    )
    out = [
        f"# Made by flywizard {__version__}: Node {node}, {packages.manager}, pages in {output}, port {port}.",
        *_builder(packages, public_names, member, node, tool),
        f"RUN printf '%s\\n' '{server}' > /app/server.conf",
        "",
        f"FROM {SERVER}",
        "COPY --from=builder /app/server.conf /etc/nginx/conf.d/default.conf",
        f"COPY --from=builder /app/{place}{output} /usr/share/nginx/html",
        "USER 101",
        f"EXPOSE {port}",
        'CMD ["nginx", "-g", "daemon off;"]',
    ]
    return "\n".join(out) + "\n"
