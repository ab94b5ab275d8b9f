"""Owns finding the web front ends, told from libraries, documentation sites and widgets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from flywizard.project import commands, nextjs, scripts
from flywizard.project import survey as surveys
from flywizard.project.candidates import Candidate
from flywizard.project.compose import join
from flywizard.project.model import Evidence, Question, Service
from flywizard.project.survey import Survey

OTHER_FRAMEWORKS = {
    "react-scripts": "react-scripts",
    "nuxt": "nuxt",
    "@sveltejs/kit": "sveltekit",
    "astro": "astro",
    "@angular/core": "angular",
    "@remix-run/react": "remix",
    "gatsby": "gatsby",
    "@vue/cli-service": "vue-cli",
}
_NATIVE = frozenset({"expo", "react-native", "electron", "@tauri-apps/api"})
_USUAL = re.compile(
    r"(?:^|[-_/])(?:web|web-form|webapp|frontend|client|ui|www|site|app|dashboard|next\w*)(?:[-_]|$)", re.I
)
_ASIDE = re.compile(
    r"(?:^|[-_/])(?:docs?|design\w*|storybook|e2e|mobile|native|widget|embed|extension|electron|desktop|emails?|"
    r"playground|demo|mock\w*|cypress|playwright|landing|marketing|blog)(?:[-_/]|$)",
    re.I,
)
_PAGES = ("app", "pages", "src/app", "src/pages")


def framework_of(survey: Survey, package: nextjs.Package) -> str | None:
    """Return what a package.json is a web front end of, or None: a library, a tool, a workspace's root."""
    folder = package.path.rpartition("/")[0] or "."
    tree = survey.tree
    own, dev = package.dependencies(), package.dev_dependencies()
    both = own | dev
    said = " ".join(package.scripts().values())
    if set(both) & _NATIVE and not re.search(r"\bnext\b|\bvite\b", said):
        return None
    has_pages = any(tree.is_folder(join(folder, p) or "") for p in _PAGES)
    if "next" in own or "next" in dev:
        called = re.search(r"\bnext\s+(?:build|start|dev)\b|\bnext(?:\s|$)", said)
        workspace = "workspaces" in package.data or (join(folder, "pnpm-workspace.yaml") or "") in tree
        configured = any((join(folder, n) or "") in tree for n in nextjs.CONFIGS)
        if (
            called
            or configured
            or (has_pages and not workspace)
            or ("next" in own and not said and not workspace)
        ):
            return "nextjs"
    for name, framework in OTHER_FRAMEWORKS.items():
        if name in both and (said or name != "astro"):
            return framework
    if "vite" in both:
        page = (join(folder, "index.html") or "") in tree or any(
            (join(folder, f"src/main.{e}") or "") in tree for e in ("ts", "tsx", "js", "jsx")
        )
        library = "peerDependencies" in package.data or ("exports" in package.data and not page)
        if page or (not library and re.search(r"\bvite(?:\s+(?:build|preview|dev)|\s|$)", said)):
            return "vite"
    return None


def web_services(
    survey: Survey, candidates: list[Candidate], answers: Mapping[str, str], questions: list[Question]
) -> list[Service]:
    """Return the web front ends; asks where several could be meant and nothing tells them apart."""
    folders: dict[str, tuple[nextjs.Package, str]] = {}
    for package in survey.packages.values():
        framework = framework_of(survey, package)
        if framework:
            folders[package.path.rpartition("/")[0] or "."] = (package, framework)
    if not folders:
        return []
    started = {
        folder: [c for c in candidates if _belongs(survey, c, folder, set(folders))] for folder in folders
    }
    answer = answers.get("service.web")
    if answer == "none":
        return []
    chosen = [answer] if answer in folders else _chosen(folders, started)
    if not chosen:
        places = tuple(
            Evidence(p.path, p.line("next" if f == "nextjs" else f), f) for p, f in folders.values()
        )
        questions.append(
            Question("service.web", "Which of these is the web frontend?", (*sorted(folders), "none"), places)
        )
        return []
    out: list[Service] = []
    for folder in chosen:
        package, framework = folders[folder]
        name = "web" if not out else _name(folder, started[folder], {s.name for s in out})
        out.append(_service(survey, folder, package, framework, started[folder], name))
    return out


def _belongs(survey: Survey, candidate: Candidate, folder: str, folders: set[str]) -> bool:
    """Tell whether a command is one of the front end in a folder."""
    if candidate.start is not None and candidate.start.what in {"asgi", "python", "celery"}:
        return False
    where = (candidate.dockerfile or "").rpartition("/")[0] or "."
    if candidate.dockerfile in survey.dockerfiles and where != candidate.context and where in folders:
        return where == folder
    if candidate.context == folder:
        return candidate.dockerfile is None or _is_node(survey, candidate.dockerfile)
    image = survey.dockerfiles.get(candidate.dockerfile or "")
    if image is not None and candidate.context == "." and folder != ".":
        named = re.compile(rf"(?:^|[\s/\"'=]){re.escape(folder)}(?:[/\s\"']|$)")
        return _is_node(survey, image.path) and any(
            named.search(i.value)
            for s in image.stages
            for i in s.instructions
            if i.keyword in {"COPY", "RUN", "WORKDIR", "CMD"}
        )
    return False


def _is_node(survey: Survey, dockerfile: str) -> bool:
    image = survey.dockerfiles.get(dockerfile)
    if image is None:
        return dockerfile not in survey.tree
    return any(
        re.search(r"(?:^|/)(?:node|bun|nginx|nginx-unprivileged|caddy)(?:[:@-]|$)|node", image.base_of(s))
        for s in image.stages
    )


def _chosen(
    folders: Mapping[str, tuple[nextjs.Package, str]], started: Mapping[str, list[Candidate]]
) -> list[str]:
    """Return the front ends to deploy: those that compose or Fly runs, else the one that stands out."""
    if len(folders) == 1:
        return list(folders)
    run = [f for f in folders if any(c.compose_service or c.fly_config for c in started[f])]
    if run:
        return sorted(run, key=lambda f: (_ASIDE.search(f) is not None, not _USUAL.search(f), f))
    left = list(folders)
    for keep in (
        [f for f in folders if not _ASIDE.search(f)],
        [f for f in folders if any(c.origin == "dockerfile" for c in started[f])],
        [f for f in folders if folders[f][1] == "nextjs"],
        [f for f in folders if _USUAL.search(f)],
    ):
        left = [f for f in left if f in keep] or left
        if len(left) == 1:
            return left
    return []


def _name(folder: str, mine: list[Candidate], taken: set[str]) -> str:
    wanted = next((c.compose_service for c in mine if c.compose_service), None) or folder.rsplit("/", 1)[-1]
    return wanted if wanted not in {*taken, "api", "worker"} else f"{wanted}-{len(taken) + 1}"


def _service(
    survey: Survey, folder: str, package: nextjs.Package, framework: str, mine: list[Candidate], name: str
) -> Service:
    tree = survey.tree
    label = {"nextjs": "Next.js", "vite": "Vite"}.get(framework, framework)
    key = {"nextjs": "next"}.get(framework, framework)
    version = nextjs.next_version(package, tree.text(join(folder, "package-lock.json") or ""))
    what = f"Next.js {version}" if framework == "nextjs" and version else label
    evidence = [Evidence(package.path, package.line(key), what)]
    dockerfile = next((c.dockerfile for c in mine if c.dockerfile in survey.dockerfiles), None)
    if dockerfile is None and (beside := join(folder, "Dockerfile") or "") in survey.dockerfiles:
        dockerfile = beside if _is_node(survey, beside) else None
    context = next((c.context for c in mine if c.dockerfile == dockerfile and c.context), None) or folder
    command = port = None
    image = survey.dockerfiles.get(dockerfile or "")
    if image is not None:
        start = image.start()
        exposed = image.exposed()
        named = image.environment().get("PORT", "")
        port = int(named) if named.isdigit() else exposed[-1][0] if exposed else None
        if start:
            command = start[0].text
            evidence.append(Evidence(image.path, start[1].line, f"starts `{command}`"))
            followed = scripts.follow(survey, start[0], folder, dockerfile)
            port = next((f.start.port for f in followed if f.start.port), None) or port
    fly = next((c for c in mine if c.fly_config), None)
    said = commands.parse(package.scripts().get("start", ""))
    port = port or next((c.port for c in mine if c.port), None) or (said.port if command is None else None)
    config = next(
        (
            survey.next_configs[p]
            for n in nextjs.CONFIGS
            if (p := join(folder, n) or "") in survey.next_configs
        ),
        None,
    )
    if config and config.output_line:
        evidence.append(Evidence(config.path, config.output_line, f"output {config.output}"))
    app = survey.fly[fly.fly_config].app if fly and fly.fly_config else None
    return Service(
        name,
        "web",
        context,
        dockerfile,
        command,
        port or (3000 if framework == "nextjs" else None),
        "/",
        "javascript",
        framework,
        tuple(evidence),
        package_manager=package_manager(survey, folder, package),
        runtime=node_version(survey, folder, package, dockerfile),
        compose_service=next((c.compose_service for c in mine if c.compose_service), None)
        or _composed(survey, folder),
        fly_config=fly.fly_config if fly else None,
        fly_app=app,
        group=fly.group if fly else None,
        public_names=tuple(sorted(public_names(survey, folder))),
        standalone=(config.output == "standalone" if not config.dynamic else None) if config else False,
        build_target=next((c.target for c in mine if c.target), None),
        folder=folder if folder != context else None,
    )


def _composed(survey: Survey, folder: str) -> str | None:
    """Return the compose service that runs the folder in a plain Node image."""
    names = [s.name for s in survey.compose_services() if any(m[0] == folder for m in s.mounts)]
    return names[0] if len(names) == 1 else None


def public_names(survey: Survey, folder: str) -> set[str]:
    """Return the public variables that the source of a front end reads."""
    return {
        r.name
        for path in survey.tree.under(folder)
        if path.endswith(nextjs.SOURCES)
        and not surveys.is_test(path)
        and not surveys.is_decoy(path)
        and (text := survey.tree.text(path)) is not None
        for r in nextjs.reads(text)
        if r.name.startswith(nextjs.PUBLIC)
    }


def _above(folder: str) -> list[str]:
    return [folder, *(str(p) for p in PurePosixPath(folder).parents if str(p) != folder)]


def package_manager(survey: Survey, folder: str, package: nextjs.Package) -> str | None:
    """Return npm, yarn, pnpm or bun: by ``packageManager``, else by the nearest lock file."""
    named = package.package_manager()
    for above in _above(folder):
        outer = survey.packages.get(join(above, "package.json") or "")
        named = named or (outer.package_manager() if outer else None)
        lock = next((m for n, m in nextjs.LOCKS.items() if (join(above, n) or "") in survey.tree), None)
        if named or lock:
            return named or lock
    return None


def node_version(survey: Survey, folder: str, package: nextjs.Package, dockerfile: str | None) -> str | None:
    """Return the Node version that the project's files ask for, else that of its image."""
    for above in _above(folder):
        for name in (".nvmrc", ".node-version"):
            pinned = (survey.tree.text(join(above, name) or "") or "").strip()
            if re.match(r"v?\d", pinned):
                return pinned.lstrip("v")
        tools = survey.tree.text(join(above, ".tool-versions") or "") or ""
        if found := re.search(r"(?m)^node(?:js)?\s+(\d[\d.]*)", tools):
            return found[1]
        for name in ("mise.toml", ".mise.toml"):
            text = survey.tree.text(join(above, name) or "") or ""
            if found := re.search(r"(?m)^node\s*=\s*[\"'](\d[\d.]*)", text):
                return found[1]
        outer = survey.packages.get(join(above, "package.json") or "")
        if outer is not None and outer.node():
            return outer.node()
    if package.node():
        return package.node()
    image = survey.dockerfiles.get(dockerfile or "")
    for stage in image.stages if image else ():
        if image and (found := re.search(r"(?:^|/)node:(\d+(?:\.\d+)*)", image.base_of(stage))):
            return found[1]
    return None
