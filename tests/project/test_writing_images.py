"""Generated Dockerfiles: one for each package manager, read again by the project's own reader, and compared with kept ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flywizard import __version__
from flywizard.adapters.files import RepositoryFiles
from flywizard.plan import FileChange, StepError
from flywizard.project import dockerfile, dockerignore, image_tree, preflight
from flywizard.project.commands import parse
from flywizard.project.detect import detect
from flywizard.project.generate import files
from flywizard.project.image_files import can_make_image, requirement_files
from flywizard.project.images import direct, python_image
from flywizard.project.model import Service
from flywizard.project.next_config import traced, wanted_output
from flywizard.project.propose import propose
from flywizard.project.tree import Tree
from flywizard.spec import Spec, load
from tests.support.imageless import APP, PROJECTS, next_app, package, vite
from tests.support.projects import found, stopping

KEPT = Path(__file__).parent / "images"


def made(texts: dict[str, str]) -> tuple[Spec, dict[str, FileChange]]:
    spec = propose(found(texts), project="desk", organization="acme", region="ams")
    return spec, {c.path: c for c in files(Tree.of(texts), spec, found(texts))}


@pytest.mark.parametrize("name", PROJECTS)
def test_it_is_the_kept_one(name: str) -> None:
    _, changes = made(dict(PROJECTS[name]))
    (path,) = [p for p in changes if p.endswith("Dockerfile")]
    kept = (KEPT / f"{name}.Dockerfile").read_text(encoding="utf-8")
    assert changes[path].after == kept.replace("flywizard VERSION:", f"flywizard {__version__}:")


@pytest.mark.parametrize("name", PROJECTS)
def test_its_parts_exist_and_it_starts_what_the_image_holds(name: str) -> None:
    texts = dict(PROJECTS[name])
    spec, changes = made(texts)
    (path,) = [p for p in changes if p.endswith("Dockerfile")]
    service = next(s for s in spec.services.values() if s.dockerfile == path)
    after = texts | {c.path: c.after for c in changes.values()}
    tree = Tree.of(after)
    image = dockerfile.read(path, after[path])
    context = service.path or "."
    prefix = "" if context == "." else f"{context}/"
    rules = dockerignore.parse(after[f"{prefix}.dockerignore"])
    for stage in image.stages:
        for copy in stage.of("COPY"):
            *sources, _target = copy.words()
            for source in sources if copy.flag("from") is None else ():
                target = f"{prefix}{source}".rstrip("/")
                assert source == "." or target in tree or tree.is_folder(target), source
                assert source == "." or not rules(source), source
    assert image.last("USER") is not None
    assert all(":" in image.base_of(s) and not image.base_of(s).endswith(":latest") for s in image.stages)
    start = image.start()
    assert start is not None
    assert start[1].exec_form() is not None
    layout = image_tree.layout(tree, image, context, rules)
    assert layout.sure
    assert not any(p.endswith("/.env") for p in layout.files)
    if start[0].module and start[0].what in {"asgi", "python"}:
        top = start[0].module.split(".")[0]
        assert layout.importable(top) or layout.importable(top, f"{layout.workdir}/src")
    if service.port:
        assert image.exposed()[-1][0] == service.port
    else:
        assert image.exposed() == ()


@pytest.mark.parametrize("name", PROJECTS)
def test_nothing_stops_it_and_nothing_is_written_twice(name: str) -> None:
    texts = dict(PROJECTS[name])
    assert stopping(found(texts)) == []
    spec, changes = made(texts)
    after = texts | {c.path: c.after for c in changes.values()}
    again = found(after)
    assert stopping(again) == []
    assert files(Tree.of(after), load(after["flywizard.toml"]), again) == []
    assert [s.name for s in again.services] == list(spec.services)


def test_every_kept_one_has_its_project() -> None:
    assert {k.stem for k in KEPT.glob("*.Dockerfile")} == set(PROJECTS)


def test_an_env_file_never_gets_in() -> None:
    texts = dict(PROJECTS["fastapi-pip"]) | {"api/.env": "A=1\n", "api/.dockerignore": "# ours\n*.md\n"}
    _, changes = made(texts)
    change = changes["api/.dockerignore"]
    assert change.after.startswith("# ours\n*.md\n")
    rules = dockerignore.parse(change.after)
    assert all(rules(p) for p in (".env", ".git", "node_modules/x", ".venv/bin/python", "a.pyc"))
    assert not any(
        rules(p) for p in ("main.py", "requirements.txt", "alembic/env.py", "public/a.png", "uv.lock")
    )


def test_a_dockerignore_of_ones_own_image_is_left_alone() -> None:
    texts = dict(PROJECTS["fastapi-pip"]) | {
        "api/Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nRUN pip install -r requirements.txt\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
        "api/.dockerignore": "*.md\n",
    }
    assert set(made(texts)[1]) == {"flywizard.toml", "api/fly.toml"}


@pytest.mark.parametrize(
    ("command", "plain"),
    [
        ("uv run uvicorn app.main:app --port 8000", "uvicorn app.main:app --port 8000"),
        ("uv run --no-dev python -m jobs", "python -m jobs"),
        ("poetry run start", "start"),
        ("uvicorn app:app", "uvicorn app:app"),
        ("sh -c 'uv run x'", "sh -c 'uv run x'"),
    ],
)
def test_an_image_without_uv_starts_without_it(command: str, plain: str) -> None:
    assert direct(command) == plain


def test_a_command_for_a_shell_gets_one() -> None:
    image = dockerfile.read("Dockerfile", python_image(package_manager="pip", command="a && b $X"))
    start = image.last("CMD")
    assert start is not None
    assert start.exec_form() == ("sh", "-c", "a && b $X")
    assert parse("a && b $X").what == "other"


def test_a_path_dependency_is_copied_before_the_install() -> None:
    texts = dict(PROJECTS["fastapi-pip"]) | {
        "api/requirements.txt": "fastapi\nuvicorn\n-e .\n",
        "api/setup.py": "",
    }
    text = made(texts)[1]["api/Dockerfile"].after
    assert text.index("COPY . .") < text.index("pip install --no-cache-dir -r")


def test_included_requirements_are_found_and_never_outside() -> None:
    tree = Tree.of(
        {
            "a/requirements.txt": "-r b/c.txt\n-r ../x.txt\n",
            "a/b/c.txt": "--requirement d.txt\n-r c.txt\n",
            "a/b/d.txt": "",
            "x.txt": "",
        }
    )
    assert requirement_files(tree, "a") == ("requirements.txt", "b/c.txt", "b/d.txt")


@pytest.mark.parametrize("framework", ["@sveltejs/kit", "astro", "nuxt", "@react-router/dev"])
def test_frameworks_with_a_server_of_their_own_are_named(framework: str) -> None:
    texts = {"web/package.json": vite(dependencies={framework: "1"}), "web/package-lock.json": "{}"}
    service = Service("web", "web", "web", language="javascript", framework="vite", package_manager="npm")
    assert not can_make_image(service, Tree.of(texts))
    assert can_make_image(service)


CONFIGS = {
    "next.config.ts": 'import type { NextConfig } from "next";\n\nconst nextConfig: NextConfig = {\n  reactStrictMode: true, // yes\n};\n\nexport default nextConfig;\n',
    "next.config.mjs": "/** @type {import('next').NextConfig} */\nexport default {\n  images: {},\n};\n",
    "next.config.js": "/* ours */\nmodule.exports = {\n  reactStrictMode: true,\n};\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_members_next_config_is_traced_from_the_workspace(name: str) -> None:
    tree = Tree.of({f"apps/web/{name}": CONFIGS[name]})
    changes = traced(tree, f"apps/web/{name}", "../..", wanted_output(tree, f"apps/web/{name}"))
    (change,) = changes
    assert 'output: "standalone",' in change.after
    assert re.search(
        r'outputFileTracingRoot: join\((__dirname|import\.meta\.dirname), "\.\./\.\."\),', change.after
    )
    assert ("require(" in change.after) == name.endswith(".js")
    assert [line for line in CONFIGS[name].split("\n") if line not in change.after.split("\n")] == []
    after = Tree.of({change.path: change.after})
    assert traced(after, change.path, "../..", wanted_output(after, change.path)) == []


def test_a_next_config_in_an_unknown_form_is_left_alone() -> None:
    tree = Tree.of({"next.config.mjs": "export default withPlugins(base());\n"})
    assert wanted_output(tree, "next.config.mjs") == []
    assert traced(tree, "next.config.mjs", "..", []) == []


def test_the_workspace_of_a_member_is_its_build_context() -> None:
    spec, changes = made(dict(PROJECTS["next-turbo"]))
    web = spec.services["web"]
    assert (web.path, web.dockerfile, web.config) == (".", "apps/web/Dockerfile", "apps/web/fly.toml")
    assert "outputFileTracingRoot" in changes["apps/web/next.config.mjs"].after
    assert 'dockerfile = "Dockerfile"' in changes["apps/web/fly.toml"].after


def test_a_write_is_refused_when_the_work_tree_has_changed(tmp_path: Path) -> None:
    root, kept = tmp_path / "desk", tmp_path / "kept"
    kept.mkdir(mode=0o700)
    texts = dict(next_app("package-lock.json", **{"web/next.config.mjs": "export default {\n};\n"}))
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    _, changes = made(texts)
    port = RepositoryFiles(root, kept)
    change = changes["web/next.config.mjs"]
    (root / change.path).write_text("export default { reactStrictMode: true };\n", encoding="utf-8")
    with pytest.raises(StepError):
        port.write(change.path, change.after, change.before)
    assert "reactStrictMode" in (root / change.path).read_text(encoding="utf-8")
    fresh = changes["web/Dockerfile"]
    (root / fresh.path).write_text("FROM scratch\n", encoding="utf-8")
    with pytest.raises(StepError):
        port.write(fresh.path, fresh.after, fresh.before)
    assert (root / fresh.path).read_text(encoding="utf-8") == "FROM scratch\n"
    assert port.backups(change.path) == []
    (root / change.path).write_text(texts[change.path], encoding="utf-8")
    port.write(change.path, change.after, change.before)
    assert (root / change.path).read_text(encoding="utf-8") == change.after
    assert [p.read_text(encoding="utf-8") for p in port.backups(change.path)] == [texts[change.path]]


def test_fixes_are_refused_in_the_same_way(tmp_path: Path) -> None:
    root, kept = tmp_path / "desk", tmp_path / "kept"
    kept.mkdir(mode=0o700)
    (root / "api").mkdir(parents=True)
    texts = {
        "api/main.py": APP,
        "api/requirements.txt": "fastapi\n",
        "api/Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nRUN pip install -r requirements.txt\nCMD ["uvicorn", "main:app", "--host", "127.0.0.1", "--port", "8000"]\n',
        "api/.dockerignore": ".env\n.venv\n",
    }
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")
    (objection,) = [o for o in detect(Tree.of(texts)).problems if o.id == "C-20"]
    (change,) = preflight.fix(objection, Tree.of(texts))
    (root / change.path).write_text(texts[change.path] + "# mine\n", encoding="utf-8")
    with pytest.raises(StepError):
        RepositoryFiles(root, kept).write(change.path, change.after, change.before)
    assert (root / change.path).read_text(encoding="utf-8").endswith("# mine\n")


def test_the_package_json_helpers_are_json() -> None:
    assert json.loads(package())["name"] == json.loads(vite())["name"] == "desk-web"
