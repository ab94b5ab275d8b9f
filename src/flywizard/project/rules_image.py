"""Owns the preflight rules about what a Dockerfile says (C-01 … C-08, C-12, C-15, C-16, C-91). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flywizard.project import commands, nextjs
from flywizard.project.compose import join
from flywizard.project.dockerfile import Instruction
from flywizard.project.model import Findings, Objection
from flywizard.project.rules_build import copies, images, requirements, say
from flywizard.project.survey import Survey

BUILD = re.compile(r"\b(?:npm|yarn|pnpm|bun)\s+(?:run\s+)?build\b|\bnext\s+build\b|\bvite\s+build\b")
PRODUCTION = re.compile(r"\s--(?:only=prod(?:uction)?|omit=dev|production|prod)(?=\s|$)")
BUILD_TOOLS = re.compile(
    r"^(typescript|tailwindcss|postcss|autoprefixer|sass|vite|@types/|@vitejs/|@tailwindcss/|babel|@babel/|@next/)"
)


def missing_public(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-01."""
    for service, image, _ in images(survey, findings):
        folder = join(service.path or ".", "public") or "public"
        made = any(
            "mkdir" in run.value and "public" in run.value for s in image.stages for run in s.of("RUN")
        )
        if survey.tree.is_folder(folder) or made:
            continue
        for _, copy, source in copies(image):
            if source.rstrip("/").rsplit("/", 1)[-1] == "public":
                yield say(
                    True,
                    f"`{image.path}:{copy.line}` copies `public/`, which does not exist in `{service.path}`.",
                    f"Create `{folder}/.gitkeep`.",
                    image.path,
                    copy.line,
                    fix=True,
                    subject=folder,
                )
                break


def no_standalone(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-02."""
    for service, image, _ in images(survey, findings):
        if service.framework != "nextjs" or service.standalone is not False:
            continue
        for _, copy, source in copies(image):
            if ".next/standalone" in source:
                config = next(
                    (
                        p
                        for n in nextjs.CONFIGS
                        if (p := join(service.path or ".", n) or "") in survey.next_configs
                    ),
                    join(service.path or ".", "next.config.mjs"),
                )
                yield say(
                    True,
                    f"`{image.path}:{copy.line}` needs the standalone build, which `{config}` does not produce.",
                    'Add `output: "standalone"` to next.config.',
                    image.path,
                    copy.line,
                    fix=True,
                    subject=config or "",
                )
                break


def old_node(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-03."""
    for service, image, _ in images(survey, findings):
        if service.framework != "nextjs":
            continue
        package = survey.packages.get(join(service.path or ".", "package.json") or "")
        version = (
            nextjs.next_version(
                package, survey.tree.text(join(service.path or ".", "package-lock.json") or "")
            )
            if package
            else None
        )
        needed = nextjs.node_needed(version) if version else None
        if needed is None:
            continue
        for stage in image.stages:
            found = re.match(r"(?:.*/)?node:(\d+)(?:\.(\d+))?", image.base_of(stage))
            if not found:
                continue
            have = (int(found[1]), int(found[2]) if found[2] else 99)
            if have < needed:
                yield say(
                    True,
                    f"`{image.path}:{stage.line}`: Node {found[1]} cannot run Next {version}, which needs Node {needed[0]}.{needed[1]} or newer.",
                    "Use `node:22`.",
                    image.path,
                    stage.line,
                    fix=True,
                )


def production_install(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-04."""
    for service, image, _ in images(survey, findings):
        package = survey.packages.get(join(service.path or ".", "package.json") or "")
        tools = sorted(n for n in package.dev_dependencies() if BUILD_TOOLS.match(n)) if package else []
        if not tools:
            continue
        for builder in (s for s in image.stages if any(BUILD.search(r.value) for r in s.of("RUN"))):
            sources = set(image.chain(builder))
            names = {c.flag("from") for c in builder.of("COPY") if "node_modules" in c.value}
            sources |= {s for s in image.stages if s.name and s.name in names}
            for stage in sources:
                for run in stage.of("RUN"):
                    if re.search(
                        r"\b(npm|yarn|pnpm|bun)\s+(ci|install|i)\b", run.value
                    ) and PRODUCTION.search(run.value):
                        yield say(
                            True,
                            f"`{image.path}:{run.line}`: the build needs {', '.join(f'`{t}`' for t in tools[:3])}, which this install leaves out.",
                            "Install all dependencies in the build stage.",
                            image.path,
                            run.line,
                            fix=True,
                        )


def no_command(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-05."""
    for service, image, services in images(survey, findings):
        base = image.base_of(image.final) if image.final else ""
        if image.start() is not None or not re.search(
            r"(^|/)(python|node|debian|ubuntu|alpine|bun)([:@]|$)", base
        ):
            continue
        handled = all(s.command for s in services)
        yield say(
            True,
            f"`{image.path}` does not say what to run.",
            "flywizard writes process commands into fly.toml."
            if handled
            else "Add a CMD, or a process command.",
            image.path,
            image.final.line if image.final else 1,
            handled=handled,
            fix=service.command is not None,
            subject=service.command or "",
        )


def entrypoint_server(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-06."""
    for _, image, services in images(survey, findings):
        entry = image.last("ENTRYPOINT")
        words = entry.exec_form() if entry else None
        if not entry or not words or len(services) < 2 or commands.parse(words).what not in {"asgi", "node"}:
            continue
        yield say(
            True,
            f"`{image.path}:{entry.line}`: Fly's process commands replace CMD, not ENTRYPOINT, so `{services[-1].name}` would run the API.",
            "Move the command to CMD.",
            image.path,
            entry.line,
            fix=True,
        )


def no_build_argument(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-07."""
    for service, image, _ in images(survey, findings):
        wanted = [e for e in findings.env if e.build_time and service.name in e.services]
        for stage in image.stages:
            build = next((r for r in stage.of("RUN") if BUILD.search(r.value)), None)
            if build is None:
                continue
            given = {
                name
                for s in image.chain(stage)
                for i in s.of("ARG", "ENV")
                if s is not stage or i.line < build.line
                for name in re.findall(
                    r"[A-Z][A-Z0-9_]*", i.value.split("=")[0] if i.keyword == "ARG" else i.value
                )
            }
            missing = [e.name for e in wanted if e.name not in given]
            if missing:
                names = ", ".join(f"`{n}`" for n in missing)
                yield say(
                    True,
                    f"{names} would be empty in the browser: `{image.path}` has no `ARG` for it before the build on line {build.line}.",
                    "Add `ARG` and `ENV` before the build.",
                    image.path,
                    build.line,
                    fix=True,
                    subject=",".join(missing),
                )


def alpine(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-12."""
    for service, image, _ in images(survey, findings):
        packages = sorted(
            {
                m
                for _, text in requirements(survey, service.path or ".")
                for m in re.findall(r"\b(aiokafka|confluent-kafka)\b", text)
            }
        )
        for stage in image.stages:
            if packages and re.match(r"(?:.*/)?python:\S*alpine", image.base_of(stage)):
                yield say(
                    False,
                    f"`{image.path}:{stage.line}`: `{packages[0]}` has no wheels for Alpine and would have to be compiled.",
                    "Use `-slim-bookworm`.",
                    image.path,
                    stage.line,
                    fix=True,
                )


def no_hostname(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-15."""
    for service, image, _ in images(survey, findings):
        start = image.start()
        if service.framework != "nextjs" or not start or "server.js" not in start[0].text:
            continue
        missing = [n for n in ("HOSTNAME", "PORT") if n not in image.environment()]
        if missing:
            yield say(
                False,
                f"`{image.path}` sets no {' and no '.join(f'`{n}`' for n in missing)}: the server may bind only the container's own name.",
                "Set `HOSTNAME=0.0.0.0` and `PORT`.",
                image.path,
                start[1].line,
                fix=True,
                subject=",".join(missing),
            )


def shell_form(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-16."""
    for _, image, _services in images(survey, findings):
        cmd = image.last("CMD")
        if cmd and cmd.exec_form() is None:
            simple = not commands.needs_shell(cmd.value)
            yield say(
                False,
                f"`{image.path}:{cmd.line}`: with a shell in between, stop signals do not reach the server.",
                "Use the exec form.",
                image.path,
                cmd.line,
                fix=simple,
            )


def uv_path(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-91."""
    for _, image, _services in images(survey, findings):
        runs = [r for s in image.stages for r in s.of("RUN") if re.search(r"\buv\s+sync\b", r.value)]
        start = image.start()
        if not runs or not start:
            continue
        env = {k: v for s in image.stages for i in s.of("ENV") for k, v in _pairs(i).items()}
        first = start[0].text.split()[0] if start[0].text else ""
        bare = "/" not in first and first not in {"uv", "sh", "bash"}
        if (
            bare
            and ".venv/bin" not in image.environment().get("PATH", "")
            and "/venv/bin" not in image.environment().get("PATH", "")
            and "UV_PROJECT_ENVIRONMENT" not in env
        ):
            yield say(
                True,
                f"`{image.path}:{start[1].line}`: "
                + (
                    f"`{first}` would be the image's own, without the packages"
                    if first.startswith("python")
                    else f"`{first}` would not be found"
                )
                + ", because `uv sync` installs into `.venv`.",
                'Add `ENV PATH="/app/.venv/bin:$PATH"`.',
                image.path,
                start[1].line,
                fix=True,
            )


def _pairs(instruction: Instruction) -> dict[str, str]:
    from flywizard.project.dockerfile import assignments

    return assignments(instruction)
