"""Owns projects without a Dockerfile, one for each way in which packages are installed."""

from __future__ import annotations

import json
from collections.abc import Mapping

APP = (
    "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get('/health')\ndef health():\n    return {}\n"
)
WORKER = "import asyncio\n\nfrom aiokafka import AIOKafkaConsumer\n\n\nasync def run():\n    AIOKafkaConsumer('in', security_protocol='SASL_SSL')\n\n\nif __name__ == '__main__':\n    asyncio.run(run())\n"
PAGE = "export default () => process.env.NEXT_PUBLIC_API_URL;\n"
STANDALONE = 'const nextConfig = {\n  output: "standalone",\n};\n\nexport default nextConfig;\n'
PROJECT = '[project]\nname = "desk-api"\nversion = "1"\nrequires-python = ">=3.13"\ndependencies = ["fastapi", "uvicorn", "aiokafka"]\n'
LOCK = "version = 1\n" + "".join(f'\n[[package]]\nname = "{n}"\n' for n in ("fastapi", "uvicorn", "aiokafka"))


def package(name: str = "desk-web", **more: object) -> str:
    """Return a package.json of a Next.js application."""
    base: dict[str, object] = {
        "name": name,
        "scripts": {"build": "next build"},
        "dependencies": {"next": "16.1.0", "react": "19.2.0"},
        "devDependencies": {"typescript": "5.9.0"},
    }
    return json.dumps(base | more, indent=2) + "\n"


def vite(name: str = "desk-web", **more: object) -> str:
    """Return a package.json of a Vite application."""
    base = {"name": name, "scripts": {"build": "vite build"}, "devDependencies": {"vite": "7.0.0"}}
    return json.dumps(base | more, indent=2) + "\n"


def next_app(lock: str, text: str = "{}", **more: str) -> dict[str, str]:
    """Return a Next.js application in its own folder."""
    return {
        "web/package.json": package(),
        f"web/{lock}": text,
        "web/app/page.tsx": PAGE,
        "web/next.config.mjs": STANDALONE,
    } | more


ROOT = json.dumps({"name": "desk", "private": True, "workspaces": ["apps/*", "packages/*"]}) + "\n"
SHARED = {
    "packages/ui/package.json": json.dumps({"name": "@desk/ui"}) + "\n",
    "packages/ui/index.ts": "export const x = 1;\n",
}
PNPM = {
    "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n  - packages/*\n",
    "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
}
WEB = {
    "apps/web/package.json": package("@desk/web"),
    "apps/web/app/page.tsx": PAGE,
    "apps/web/next.config.mjs": STANDALONE,
}

PROJECTS: Mapping[str, Mapping[str, str]] = {
    "fastapi-pip": {"api/requirements.txt": "fastapi\nuvicorn\n", "api/main.py": APP},
    "fastapi-pip-included": {"api/requirements.txt": "-r requirements/base.txt\npsycopg2==2.9.10\n", "api/requirements/base.txt": "-c constraints.txt\nfastapi\nuvicorn\n", "api/requirements/constraints.txt": "fastapi==0.165.0\n", "api/main.py": APP},
    "fastapi-uv": {"api/pyproject.toml": PROJECT, "api/uv.lock": LOCK, "api/app/main.py": APP, "api/app/__init__.py": ""},
    "fastapi-uv-package": {"api/pyproject.toml": PROJECT + '\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n', "api/uv.lock": LOCK, "api/desk/main.py": APP, "api/desk/__init__.py": ""},
    "fastapi-uv-workspace": {"pyproject.toml": '[project]\nname = "desk"\nversion = "1"\n\n[tool.uv.workspace]\nmembers = ["services/*"]\n', "uv.lock": LOCK, "services/api/pyproject.toml": PROJECT, "services/api/app/main.py": APP, "services/api/app/__init__.py": "", "services/tools/pyproject.toml": '[project]\nname = "tools"\nversion = "1"\n'},
    "fastapi-poetry": {"api/pyproject.toml": '[tool.poetry]\nname = "desk"\nversion = "1"\n\n[tool.poetry.dependencies]\npython = "^3.12"\nfastapi = "*"\nuvicorn = "*"\n', "api/poetry.lock": LOCK, "api/main.py": APP},
    "worker-pip": {"requirements.txt": "aiokafka\n", "consume.py": WORKER},
    "next-npm": next_app("package-lock.json"),
    "next-pnpm": next_app("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", **{"web/package.json": package(packageManager="pnpm@10.4.1")}),
    "next-pnpm-unpinned": next_app("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", **{"web/.npmrc": "node-linker=hoisted\n"}),
    "next-yarn-1": next_app("yarn.lock", "# yarn lockfile v1\n"),
    "next-yarn-berry": next_app("yarn.lock", "__metadata:\n  version: 8\n", **{"web/package.json": package(packageManager="yarn@4.9.1"), "web/.yarnrc.yml": "nodeLinker: node-modules\n"}),
    "next-bun": next_app("bun.lock"),
    "next-prisma": next_app("package-lock.json", **{"web/package.json": package(scripts={"build": "next build", "postinstall": "prisma generate"}), "web/prisma/schema.prisma": "datasource db {\n}\n"}),
    "next-pnpm-workspace": {"package.json": json.dumps({"name": "desk", "packageManager": "pnpm@10.4.1"}) + "\n", **PNPM, **WEB, **SHARED},
    "next-turbo": {"package.json": json.dumps({"name": "desk", "packageManager": "pnpm@10.4.1", "devDependencies": {"turbo": "2"}}) + "\n", "turbo.json": "{}\n", **PNPM, **WEB, **SHARED},
    "next-npm-workspace": {"package.json": ROOT, "package-lock.json": "{}", **WEB, **SHARED},
    "next-export": next_app("package-lock.json", **{"web/next.config.mjs": STANDALONE.replace("standalone", "export")}),
    "vite-npm": {"web/package.json": vite(), "web/package-lock.json": "{}", "web/src/main.ts": "console.log(import.meta.env.VITE_API_URL);\n"},
    "vite-bun-elsewhere": {"web/package.json": vite(), "web/bun.lockb": "x", "web/src/main.ts": "", "web/vite.config.ts": "export default { build: { outDir: 'build/pages' } };\n"},
    "vite-pnpm-workspace": {"package.json": json.dumps({"name": "desk", "packageManager": "pnpm@10.4.1"}) + "\n", **PNPM, "apps/web/package.json": vite("@desk/web"), "apps/web/src/main.ts": "", **SHARED},
}  # fmt: skip
