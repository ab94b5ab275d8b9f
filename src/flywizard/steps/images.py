"""Owns the steps that build and push images: one an app that has sources, beside the database's creation."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from flywizard import problems
from flywizard.flyctl import commands
from flywizard.flyctl.build_output import BuildReader
from flywizard.flyctl.verdict import reading
from flywizard.plan import Probe, Step, StepError
from flywizard.ports import Context, LookError
from flywizard.steps.common import PASSING, STOPPED, diagnose, look_problem
from flywizard.steps.target import AppTarget

TRANSIENT = frozenset({"BUILD-1", "BUILD-4", "BUILDER-GONE", "REGISTRY-TROUBLE", *PASSING})
"""Problems of a build after which the same build is worth one more try: its steps are cached."""


def build(app: AppTarget, *, needs: tuple[str, ...]) -> Step:
    """Build the app's image under the tag of its source digest and push it."""
    paths = commands.relative_paths(app.context, app.config, None)
    command = commands.build(app.name, paths, app.label)

    def made(ctx: Context) -> str:
        """Return which app of this name it is: a new one of an old name has no images."""
        return ctx.facts.get(f"app.{app.name}/id", "")

    def facts(ctx: Context) -> dict[str, str]:
        return {"image": app.built_image, "app": made(ctx)}

    async def probe(ctx: Context) -> Probe:
        earlier = ctx.earlier.get(f"build.{app.name}", {})
        if earlier.get("image") == app.built_image and earlier.get("app", "") == made(ctx):
            return Probe("present", "built before", earlier)
        try:
            machines = await ctx.ports.look.machines(app.name)
        except LookError as error:
            raise StepError(look_problem(error, f"machines of {app.name}")) from None
        if any(m.image.split("@")[0] == app.built_image for m in machines):
            return Probe("present", "this source runs already", facts(ctx))
        return Probe("absent")

    async def apply(ctx: Context) -> Probe:
        try:
            return await _once(ctx)
        except StepError as error:
            if error.problem.id not in TRANSIENT:
                raise
            ctx.report.waiting(f"{error.problem.what}; building once more, what was built is cached")
            await ctx.ports.clock.sleep(5.0)
            return await _once(ctx)

    async def _once(ctx: Context) -> Probe:
        reader = BuildReader()

        def on_output(stream: Literal["stdout", "stderr"], line: str) -> None:
            progress = reader.feed(line)
            if progress is not None:
                ctx.report.progress(progress.text, progress.done, progress.total)
            for text in reader.said:
                ctx.report.output(stream, text)

        try:
            ended = await ctx.run(command, on_output=on_output)
        except FileNotFoundError:
            raise StepError(problems.problem("FLYCTL-MISSING")) from None
        verdict = reading(ended, changes=False)
        if verdict.kind == "cancelled" or (ended.signalled and verdict.kind != "done"):
            raise StepError(STOPPED)
        pushed = f"image: {app.built_image}" in ended.stderr
        if verdict.kind != "done" or not pushed:
            problem = diagnose(ended, verdict, command, "build", {"app": app.name})
            raise StepError(replace(problem, log=reader.failure_log or problem.log))
        size = f"{reader.size}, " if reader.size else ""
        cached = f"{reader.cached} steps cached" if reader.cached else "pushed"
        return Probe("present", size + cached, facts(ctx))

    return Step(
        id=f"build.{app.name}",
        title=f"Build {app.name}",
        resource="image",
        name=f"{app.name}:{app.label}",
        why=f"{app.context}/{app.dockerfile or 'Dockerfile'}" if app.dockerfile is None else app.dockerfile,
        verb="run",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=(command,),
        expected=(60, 240),
    )
