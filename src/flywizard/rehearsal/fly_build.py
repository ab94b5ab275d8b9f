"""A simulated build, told as a BuildKit builder at Depot tells it: plain lines, or JSON with `BUILDKIT_PROGRESS=rawjson`.

The steps come from the Dockerfile, the time and the outcome from the rehearsal's builder (`POST /_builder/builds`).
No command of the Dockerfile is run. A server without such a builder is asked for Depot's, as the real command does.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywizard.rehearsal import fly_dockerfile as dockerfile
from flywizard.rehearsal.fly_build_output import Printer, human_size
from flywizard.rehearsal.fly_config import AppConfig
from flywizard.rehearsal.fly_core import Answer, Cut, Failure, Fly, Json
from flywizard.rehearsal.fly_deploy_image import NO_STRATEGY, Build, Image
from flywizard.rehearsal.fly_proxy import private

NO_SOURCE = (
    "app does not have a Dockerfile or buildpacks configured."
    " See https://fly.io/docs/reference/configuration/#the-build-section"
)
CONTEXT = "[internal] load build context"
EXPORT = "exporting to image"
QUICK = 0.02
WEIGHTS = {"RUN": 30.0, "FROM": 3.0, "COPY": 0.5, "ADD": 0.5}
"""How the World's time for a build is shared out."""
ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(slots=True)
class Context:
    """What the builder would get: the files under a directory, less those ignored."""

    root: Path
    files: list[str] = field(default_factory=list)
    size: int = 0

    @classmethod
    def read(cls, root: Path, name: str) -> Context:
        """Walks the directory; `Dockerfile.dockerignore` beside the Dockerfile wins over `.dockerignore`."""
        from flywizard.project.dockerignore import parse

        text = ""
        for path in (Path(f"{name}.dockerignore"), root / ".dockerignore"):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
                break
            except OSError:
                continue
        ignored = parse(text)
        made = cls(root)
        for directory, folders, files in os.walk(root):
            inside = os.path.relpath(directory, root).replace(os.sep, "/")
            prefix = "" if inside == "." else f"{inside}/"
            if not ignored.has_exceptions:
                folders[:] = [f for f in folders if not ignored(prefix + f)]
            folders.sort()
            for file in sorted(files):
                if not ignored(prefix + file):
                    made.files.append(prefix + file)
        return made

    def has(self, path: str) -> bool:
        """Whether a file or folder is in the context."""
        return any(f == path or f.startswith(path + "/") for f in self.files)

    def digest(self, recipe: str) -> str:
        """A digest over every file and the Dockerfile."""
        total = hashlib.sha256(recipe.encode())
        for name in self.files:
            try:
                data = (self.root / name).read_bytes()
            except OSError:
                continue
            self.size += len(data)
            total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return total.hexdigest()


def _dockerfile(fly: Fly, config: AppConfig, directory: Path) -> Path:
    """The Dockerfile to build.

    Raises:
        Failure: there is none.
    """
    named = fly.flag("dockerfile")
    section = str((config.definition.get("build") or {}).get("dockerfile") or "")
    if named or section:
        beside = (directory / config.path).parent
        path = directory / named if named else beside / section
        if not path.is_file():
            raise Failure(f"dockerfile '{path}' not found")
        return path
    for name in ("Dockerfile", "dockerfile"):
        if (directory / name).is_file():
            return directory / name
    raise Failure(NO_SOURCE)


async def build_image(fly: Fly, config: AppConfig, name: str, directory: Path, build: Build) -> Image:
    """Builds and pushes an image, in word only.

    Raises:
        Failure: the build fails.
    """
    if fly.on("local-only"):
        raise Failure("docker is unavailable to build the deployment image")
    await build.begin(["depot.dev"])
    build.kind = "depot.dev"
    begun = fly.transport.now()
    try:
        path = _dockerfile(fly, config, directory)
        image = await _depot(fly, config, name, directory, path, build)
    except Failure as failure:
        if not fly.transport.interrupted:
            spent = int((fly.transport.now() - begun) * 1000)
            build.times.update(build_and_push_ms=spent, build_ms=spent, image_build_ms=spent)
            error = "" if failure.text == NO_SOURCE else failure.text
            build.kind = build.kind if error else ""
            build.strategies.append({"error": error, "note": "", "result": "failed", "strategy": "depot.dev"})
            await build.finish(None, error or NO_STRATEGY)
        raise
    build.strategies.append({"error": "", "note": "", "result": "success", "strategy": "depot.dev"})
    await build.finish(image)
    fly.err("--> Build Summary:  (\u200b)\n\x1b[38;5;252m--> Building image done\x1b[0m\n")
    fly.eprint(f"image: {image.ref}")
    fly.eprint(f"image size: {human_size(image.size)}")
    return image


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _label(fly: Fly) -> str:
    if label := fly.flag("image-label"):
        return label
    return "deployment-01" + "".join(fly.rng.choice(ULID) for _ in range(24))


def _arguments(fly: Fly, config: AppConfig) -> dict[str, str]:
    args = {k: str(v) for k, v in ((config.definition.get("build") or {}).get("args") or {}).items()}
    for pair in fly.flags.get("build-arg") or []:
        key, equals, value = pair.partition("=")
        args[key] = value if equals else fly.env.get(key, "")
    return args


async def _depot(fly: Fly, config: AppConfig, name: str, directory: Path, path: Path, build: Build) -> Image:
    fly.eprint("Waiting for depot builder...\n")
    recipe = _read(path)
    context = Context.read(directory, str(path))
    args, tag = _arguments(fly, config), _label(fly)
    body = {"app": name, "tag": tag, "args": args, "context_digest": context.digest(recipe)}
    if "FROM node" in recipe:
        body["kind"] = "web"
    answer = await private(fly, "POST", "/_builder/builds", body)
    if answer.status == 404 and not _ours(answer):
        await _ask_depot(fly, name)
    if answer.status not in (200, 201, 422) or "steps" not in (answer.json() or {}):
        raise Failure(f"error building: unknown: {_text(answer)}")
    fly.eprint("==> Building image with Depot")
    fly.eprint("--> build:  (\u200b)")
    outcome = answer.json()
    run = _Run(fly, name, f"registry.fly.io/{name}:{tag}", recipe, context, outcome)
    try:
        await run.all(fly.flag("build-target"))
    except dockerfile.Broken as broken:
        raise Failure(f"error building: failed to solve: {broken}") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not fly.transport.interrupted or task is None:
            raise
        task.uncancel()
        run.printer.canceled()
        raise Failure("error building: failed to solve: Canceled: context canceled") from None
    return Image(run.ref, build.id, str(outcome["digest"]), int(outcome.get("size") or 0))


def _ours(answer: Answer) -> bool:
    return "Could not find App" in answer.text()


def _text(answer: Answer) -> str:
    body = answer.json()
    return str(body.get("error")) if isinstance(body, dict) and "error" in body else answer.text()


async def _ask_depot(fly: Fly, name: str) -> None:
    body = {"app_name": name, "builder_scope": "organization", "region": ""}
    path = "/api/v1/builds/depot_builder"
    try:
        answer = await fly.send("uiex", "POST", path, body)
    except Cut as cut:
        raise Failure(f"error building: {fly.cut_text('uiex', 'POST', path, cut)}") from None
    if answer.status != 200:
        raise Failure(
            f"error building: ensure depot builder failed, please try again (status {answer.status}): {answer.text()}"
        )
    raise Failure("error building: unavailable: this server has no builder that a rehearsal could use")


class _Run:
    """One build: its steps in turn, each with its share of the whole time."""

    def __init__(self, fly: Fly, app: str, ref: str, recipe: str, context: Context, outcome: Json) -> None:
        self.fly, self.app, self.ref = fly, app, ref
        self.recipe, self.context, self.outcome = recipe, context, outcome
        self.printer = Printer(fly, raw=fly.env.get("BUILDKIT_PROGRESS") == "rawjson")
        self.begun = fly.transport.now()
        self.told: list[dict[str, Any]] = list(outcome.get("steps") or [])
        self.digest = str(outcome.get("digest") or "sha256:" + hashlib.sha256(ref.encode()).hexdigest())

    def base_digest(self, image: str) -> str:
        """A base image's digest: the World's, if it names one."""
        for step in self.told:
            _, at, digest = str(step.get("name", "")).partition(f"{image}@")
            if at:
                return digest
        return "sha256:" + hashlib.sha256(image.encode()).hexdigest()

    def world(self, step: dockerfile.Step, used: set[int]) -> dict[str, Any]:
        """What the World says about a step: the one of the same name, else the next one of its kind."""
        for index, told in enumerate(self.told):
            if str(told.get("name")) == step.name:
                used.add(index)
                return told
        kind = f"{step.keyword} "
        for index, told in enumerate(self.told):
            plain = str(told.get("name", "")).rpartition("] ")[2]
            if index not in used and step.keyword == "RUN" and plain.startswith(kind) and "@" not in plain:
                used.add(index)
                return told
        return {}

    async def all(self, target: str) -> None:
        """Every step of the build.

        Raises:
            Failure: a step fails.
            dockerfile.Broken: the Dockerfile is wrong.
        """
        await self.quick(
            "[internal] load build definition from Dockerfile",
            f"transferring dockerfile: {len(self.recipe.encode())}B done",
        )
        stages = dockerfile.parse(self.recipe)
        wanted = dockerfile.needed(stages, target)
        for base in dockerfile.bases(wanted):
            await self.metadata(base)
        await self.quick("[internal] load .dockerignore", "transferring context: 71B done")
        steps = dockerfile.steps(stages, target, self.base_digest)
        plan = self.plan(steps)
        waiting = any(s.keyword in ("COPY", "ADD") and "--from=" not in s.text for s in steps)
        self.printer.announce([s.name for s in steps] + ([CONTEXT] if waiting else []))
        for step, told, seconds in plan:
            await self.step(step, told, seconds)
            if waiting:
                waiting = False
                await self.quick(CONTEXT, f"transferring context: {_size(self.context.size)} done")
        await self.export()

    def plan(self, steps: list[dockerfile.Step]) -> list[tuple[dockerfile.Step, dict[str, Any], float]]:
        """Which step takes how long: the World's whole time, most of it for `RUN`."""
        used: set[int] = set()
        found = [(step, self.world(step, used)) for step in steps]
        whole = float(self.outcome.get("seconds") or 0) * 0.9
        weights = [0.0 if told.get("cached") else WEIGHTS.get(step.keyword, 0.2) for step, told in found]
        total = sum(weights) or 1.0
        failing = [i for i, told in enumerate(self.told) if told.get("error")]
        runs = [i for i, (step, _) in enumerate(found) if step.keyword == "RUN"]
        if failing and not any(told.get("error") for _, told in found):
            error = self.told[failing[0]]
            if runs and str(error.get("name", "")).find("RUN ") >= 0:
                found[runs[-1]] = (found[runs[-1]][0], error)
        return [(step, told, whole * w / total) for (step, told), w in zip(found, weights, strict=True)]

    async def quick(self, name: str, *items: str) -> None:
        """An internal step that takes no time worth telling."""
        self.printer.begin(name)
        for item in items:
            self.printer.item(item)
        await self.fly.transport.sleep(QUICK)
        self.printer.done()

    async def metadata(self, base: str) -> None:
        """Looks a base image up."""
        name = f"[internal] load metadata for {base}"
        self.printer.begin(name)
        await self.fly.transport.sleep(QUICK)
        for told in self.told:
            if told.get("name") == name and told.get("error"):
                self.printer.failed(str(told["error"]), [])
                short = base.removeprefix("docker.io/").removeprefix("library/")
                raise Failure(
                    f"error building: failed to solve: {short}: failed to resolve source metadata for {base}:"
                    f" {told['error']}"
                )
        self.printer.done()

    async def step(self, step: dockerfile.Step, told: dict[str, Any], seconds: float) -> None:
        """One step of the Dockerfile."""
        if step.keyword == "FROM":
            source = step.name.partition("FROM ")[2]
            self.printer.begin(step.name)
            self.printer.item(f"resolve {source} done")
            await self.fly.transport.sleep(max(QUICK, seconds))
            self.printer.done()
            return
        self.printer.begin(step.name)
        missing = dockerfile.missing_source(step, self.context.has)
        if missing:
            await self.fly.transport.sleep(QUICK)
            reference = hashlib.sha256(step.name.encode()).hexdigest()[:25]
            error = (
                f'failed to calculate checksum of ref {reference[:12]}::{reference}: "{missing}": not found'
            )
            self.printer.failed(error, [])
            raise Failure(f"error building: failed to solve: failed to compute cache key: {error}")
        if told.get("cached"):
            self.printer.cached()
            return
        lines = [str(line) for line in told.get("lines") or []] if step.keyword == "RUN" else []
        for line in lines:
            await self.fly.transport.sleep(seconds / (len(lines) + 1))
            self.printer.line(line)
        await self.fly.transport.sleep(seconds / (len(lines) + 1))
        if told.get("error"):
            code = str(told["error"]).rpartition("exit code: ")[2] or "1"
            command = step.text.replace('"', '\\"')
            while command.startswith("--"):
                command = command.partition(" ")[2].lstrip()
            error = f'process "/bin/sh -c {command}" did not complete successfully: exit code: {code}'
            self.printer.failed(error, lines)
            raise Failure(f"error building: failed to solve: {error}")
        self.printer.done()

    async def export(self) -> None:
        """Layers, manifest and push."""
        told = next((t for t in self.told if t.get("name") == EXPORT), {})
        self.printer.begin(EXPORT)
        config = "sha256:" + hashlib.sha256(self.digest.encode()).hexdigest()
        items = [
            "exporting layers done",
            f"exporting manifest {self.digest} done",
            f"exporting config {config} done",
        ]
        pushing = self.fly.on("push") or not self.fly.on("build-only")
        error = str(told.get("error") or "")
        if pushing:
            items.append("pushing layers done")
            if not error:
                items.append(f"pushing manifest for {self.ref}@{self.digest} done")
        whole = float(self.outcome.get("seconds") or 0)
        rest = max(whole * 0.1, whole - (self.fly.transport.now() - self.begun)) + QUICK
        for item in items:
            await self.fly.transport.sleep(rest / len(items))
            self.printer.item(item)
        if error:
            self.printer.failed(error, [])
            raise Failure(f"error building: failed to solve: {error}")
        self.printer.done()


def _size(count: int) -> str:
    """Bytes as BuildKit shows them: `71B`, `48.20kB`, `1.05MB`."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.2f}{unit}"
    return f"{count}B"
