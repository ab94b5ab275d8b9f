"""Owns the steps that release an app: the deploy itself, what must be cleared before, and what must stand after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from flywizard import problems
from flywizard.events import Problem
from flywizard.flyctl import commands, decode
from flywizard.flyctl.deploy_output import DeployReader
from flywizard.flyctl.verdict import reading
from flywizard.plan import Cost, Probe, Step, StepError
from flywizard.ports import Context, LookError, Machine
from flywizard.steps.common import STOPPED, diagnose, look, look_problem, run
from flywizard.steps.logs import LogFollower, following
from flywizard.steps.target import RELEASE_VARIABLE, AppTarget, Target

RELEASE_COMMAND_GROUP = "fly_app_release_command"
OTHERS_WAIT = 60.0
"""Seconds to wait for a release that somebody else runs before it is a problem."""
SETTLE = 30.0
"""Seconds that machines may still need after flyctl has ended."""


def image_of(target: Target, app: AppTarget) -> str:
    """Return the image that an app runs: prebuilt, another app's, or its own build."""
    if app.image:
        return app.image
    if app.image_of:
        return image_of(target, next(a for a in target.apps if a.name == app.image_of))
    return app.built_image


def release_of(ctx: Context, target: Target, app: AppTarget) -> str:
    """Return a word that changes with each release of the app."""
    return f"{image_of(target, app)} v{ctx.facts.get(f'release.{app.name}/version', '?')}"


def wrong_with(app: AppTarget, image: str, machines: Sequence[Machine]) -> str:
    """Say in which way machines differ from the target; empty: they are right."""
    for group in app.groups:
        ours = [m for m in machines if m.group == group.name and not m.standby]
        if len(ours) < group.machines:
            return f"{group.name}: {len(ours)} of {group.machines} machines"
        for machine in ours:
            if machine.image.split("@")[0] != image:
                return f"{group.name}: another image runs"
            if machine.env.get(RELEASE_VARIABLE, "").rpartition(".")[2] != app.config_digest:
                return f"{group.name}: the configuration changed"
            if machine.state == "stopped" and group.stops_when_idle:
                continue
            if machine.state != "started":
                return f"{group.name}: machine {machine.id} is {machine.state}"
            bad = [name for name, status, _ in machine.checks if status != "passing"]
            if bad:
                return f"{group.name}: check {bad[0]} does not pass"
    return ""


def release(target: Target, app: AppTarget, costs: tuple[Cost, ...], *, needs: tuple[str, ...]) -> Step:
    """Release the app's image with its configuration and staged secrets."""
    image = image_of(target, app)
    marker = {RELEASE_VARIABLE: f"{target.commit}.{app.config_digest}"}
    command = commands.deploy(app.name, app.config, image, env=marker)
    step_id = f"release.{app.name}"

    async def machines(ctx: Context) -> Sequence[Machine]:
        try:
            return await ctx.ports.look.machines(app.name)
        except LookError as error:
            raise StepError(look_problem(error, f"machines of {app.name}")) from None

    async def newest(ctx: Context) -> str:
        text = await look(ctx, commands.releases(app.name), "deploy", {"app": app.name})
        try:
            return next((r.status for r in decode.releases(text)), "")
        except decode.DecodeError as error:
            raise StepError(problems.problem("DECODE", command="fly releases", why=str(error))) from None

    async def probe(ctx: Context) -> Probe:
        found = await machines(ctx)
        if not found:
            return Probe("absent")
        wrong = wrong_with(app, image, found)
        if wrong:
            return Probe("different", wrong)
        if ctx.in_doubt and await newest(ctx) != "complete":
            return Probe("different", "an earlier release was not finished")
        text = await look(ctx, commands.secrets_list(app.name), "secrets", {"name": app.name})
        try:
            waiting = [s.name for s in decode.secrets(text) if s.status in ("Staged", "Partial")]
        except decode.DecodeError:
            waiting = []
        if waiting:
            return Probe("different", f"{len(waiting)} secrets are staged, not released")
        return right(found)

    def right(found: Sequence[Machine]) -> Probe:
        version = max((m.release_version for m in found if m.release_version), key=_number, default="")
        counts = []
        for group in app.groups:
            up = sum(m.group == group.name and m.state == "started" for m in found)
            counts.append(f"{group.name} ×{up}" if up else f"{group.name} idle")
        head = f"v{version} · " if version else ""
        return Probe("present", head + ", ".join(counts), {"version": version, "image": image})

    async def apply(ctx: Context) -> Probe:
        before = await machines(ctx)
        await _clear_the_way(ctx, app, before)
        reader = DeployReader()

        def on_output(stream: Literal["stdout", "stderr"], line: str) -> None:
            for progress in reader.feed(stream, line):
                ctx.report.progress(progress.text, progress.done, progress.total)
            ctx.report.output(stream, line)

        async with following(ctx, app) as follower:
            try:
                ended = await ctx.run(command, on_output=on_output)
            except FileNotFoundError:
                raise StepError(problems.problem("FLYCTL-MISSING")) from None
            verdict = reading(ended)
            if verdict.kind == "cancelled" or (ended.signalled and verdict.kind != "done"):
                raise StepError(STOPPED)
            if verdict.kind != "done":
                problem = diagnose(ended, verdict, command, "deploy", {"app": app.name})
                said = (*reader.release_command_log, *reader.crash_log)
                raise StepError(await _with_reasons(ctx, replace(problem, log=said or problem.log), follower))
            if app.public and (deaf := reader.listen_warning) is not None:
                found_at = ", ".join(f"{process} on {address}" for process, address in deaf.found)
                raise StepError(
                    problems.problem(
                        "DEPLOY-1", app=app.name, wanted=", ".join(deaf.wanted), found=found_at or "nothing"
                    ),
                    sure=True,
                )
            found = await _standing(ctx)
            await follower.poll()
        spare = _spares(before, found)
        if spare:
            raise StepError(
                problems.problem(
                    "MACHINE-SPARE", app=app.name, ids=", ".join(spare),
                    command=f"fly machine destroy {spare[0]} -a {app.name} --force",
                ),
                sure=True,
            )  # fmt: skip
        return right(found)

    async def _standing(ctx: Context) -> Sequence[Machine]:
        """Return the machines once they are as wished: "update succeeded" is not "it works".

        A machine that had stopped, because it crashed or was idle, is updated by flyctl without being started.
        """
        began = ctx.ports.clock.monotonic()
        woken: set[str] = set()
        while True:
            found = await machines(ctx)
            wrong = wrong_with(app, image, found)
            if not wrong:
                return found
            for machine in found:
                if machine.state == "stopped" and _must_run(app, machine) and machine.id not in woken:
                    woken.add(machine.id)
                    await run(
                        ctx, commands.machine_start(app.name, machine.id), "deploy", facts={"app": app.name}
                    )
            if ctx.ports.clock.monotonic() - began > SETTLE:
                problem = problems.problem("RELEASE-NOT-STANDING", app=app.name, wrong=wrong)
                raise StepError(replace(problem, log=_outputs(found)))
            ctx.report.waiting(wrong)
            await ctx.ports.clock.sleep(2.0)

    async def _with_reasons(ctx: Context, problem: Problem, follower: LogFollower) -> Problem:
        """Add what flyctl's own text leaves out: the checks' output and the app's last lines."""
        await follower.poll()
        try:
            outputs = _outputs(await ctx.ports.look.machines(app.name))
        except LookError:
            outputs = ()
        return replace(problem, log=(*problem.log, *outputs, *follower.lines[-20:]))

    def _spares(before: Sequence[Machine], after: Sequence[Machine]) -> list[str]:
        known = {m.id for m in before}
        spare: list[str] = []
        for group in app.groups:
            ours = [m for m in after if m.group == group.name and not m.standby]
            new = [m.id for m in ours if m.id not in known]
            spare += new[: max(0, len(ours) - group.machines)] if len(ours) > group.machines else []
        return spare

    groups = ", ".join(f"{g.name} ×{g.machines}" for g in app.groups)
    return Step(
        id=step_id,
        title=f"Release {app.name}",
        resource="machines",
        name=groups,
        why=app.config,
        verb="create",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=(command,),
        costs=costs,
        expected=(15 + 10 * len(app.groups), 60 + 30 * len(app.groups)),
    )


async def _clear_the_way(ctx: Context, app: AppTarget, before: Sequence[Machine]) -> None:
    """Wait for what an earlier run or somebody else left: leases, a release command, a running release."""
    ours = ctx.in_doubt or f"release.{app.name}" in ctx.earlier
    began = ctx.ports.clock.monotonic()
    while True:
        running = [
            m.id for m in before if m.group == RELEASE_COMMAND_GROUP and m.state in ("created", "started")
        ]
        if not running:
            break
        if ctx.ports.clock.monotonic() - began > OTHERS_WAIT * 5:
            raise StepError(problems.problem("RELEASE-COMMAND-RUNS", app=app.name, machine=running[0]))
        ctx.report.waiting(f"an earlier release command still runs on {running[0]}")
        await ctx.ports.clock.sleep(5.0)
        before = await ctx.ports.look.machines(app.name)
    if ctx.in_doubt:
        for machine in before:
            await _clear_lease(ctx, app, machine)
    if not before or ours:
        return
    while True:
        text = await look(ctx, commands.releases(app.name), "deploy", {"app": app.name})
        try:
            newest = next(iter(decode.releases(text)), None)
        except decode.DecodeError:
            return
        if newest is None or newest.status not in ("running", "pending"):
            return
        who = newest.user or "somebody"
        if ctx.ports.clock.monotonic() - began > OTHERS_WAIT:
            raise StepError(
                problems.problem("RELEASE-RUNNING", app=app.name, who=who, since=newest.created_at)
            )
        ctx.report.waiting(f"{who} is releasing {app.name} since {newest.created_at}")
        await ctx.ports.clock.sleep(5.0)


def _must_run(app: AppTarget, machine: Machine) -> bool:
    """Tell whether a machine of ours may not rest."""
    return not machine.standby and any(g.name == machine.group and not g.stops_when_idle for g in app.groups)


async def _clear_lease(ctx: Context, app: AppTarget, machine: Machine) -> None:
    """Drop a lease that a killed deploy left; most machines have none, which flyctl calls an error."""
    try:
        await run(ctx, commands.machine_leases_clear(app.name, machine.id), "lease", quiet=True)
    except StepError as error:
        if error.problem.id == "STOPPED":
            raise


def _outputs(machines: Sequence[Machine]) -> tuple[str, ...]:
    return tuple(
        f"{m.id} {name}: {output.strip()}"
        for m in machines
        for name, status, output in m.checks
        if status != "passing" and output.strip()
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
