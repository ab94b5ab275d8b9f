"""Owns the steps that make apps and see to their public addresses."""

from __future__ import annotations

from flywizard import problems
from flywizard.flyctl import commands
from flywizard.plan import Probe, Step, StepError
from flywizard.ports import Context, LookError
from flywizard.steps.common import doubt, look_problem, run
from flywizard.steps.target import AppTarget, Target


async def app_state(ctx: Context, app: str, organization: str) -> Probe:
    """Look an app up: present when it is ours, absent when the name is free.

    Raises:
        StepError: the name belongs to somebody else, or to another organisation of ours.
    """
    try:
        found = await ctx.ports.look.app(app)
    except LookError as error:
        raise StepError(look_problem(error, f"app {app}")) from None
    if found == "absent":
        return Probe("absent")
    if isinstance(found, str):
        raise StepError(problems.problem("APP-1", name=app))
    owner = str((found.get("organization") or {}).get("slug", ""))
    if owner and owner != organization:
        raise StepError(problems.problem("APP-OTHER-ORG", name=app, organization=owner))
    known = {"status": str(found.get("status", "")), "id": str(found.get("id", ""))}
    return Probe("present", f"{app} exists", known)


def create_app(target: Target, app: AppTarget, *, needs: tuple[str, ...]) -> Step:
    """Make the app, or adopt it when it is ours."""
    command = commands.apps_create(app.name, target.organization)

    async def probe(ctx: Context) -> Probe:
        return await app_state(ctx, app.name, target.organization)

    async def apply(ctx: Context) -> Probe:
        _, verdict = await run(ctx, command, "app", facts={"name": app.name})
        found = await _visible(ctx)
        if found.state != "present":
            if verdict.kind == "doubt":
                raise doubt(f"It is not known whether the app `{app.name}` was made", verdict.text)
            raise StepError(problems.problem("APP-4", name=app.name))
        return Probe("present", "created", found.facts)

    async def _visible(ctx: Context) -> Probe:
        found = Probe("absent")
        for wait in (0.0, 1.0, 2.0, 4.0, 8.0):
            if wait:
                ctx.report.waiting("waiting until Fly shows the new app")
                await ctx.ports.clock.sleep(wait)
            found = await app_state(ctx, app.name, target.organization)
            if found.state == "present":
                break
        return found

    async def undo(ctx: Context) -> str:
        await run(ctx, commands.apps_destroy(app.name), "app", facts={"name": app.name})
        return f"removed app {app.name}"

    return Step(
        id=f"app.{app.name}",
        title=f"App {app.name}",
        resource="app",
        name=app.name,
        why=app.why,
        verb="create",
        probe=probe,
        apply=apply,
        undo=undo,
        needs=needs,
        commands=(command,),
        expected=(1, 5),
    )


def addresses(app: AppTarget, *, needs: tuple[str, ...]) -> Step:
    """See that the app has a public IPv6 and a shared IPv4: a deploy whose allocation failed ends well all the same."""
    v6, v4 = commands.ips_allocate_v6(app.name), commands.ips_allocate_shared_v4(app.name)

    async def missing(ctx: Context) -> tuple[list[str], list[str]]:
        try:
            found = await ctx.ports.look.addresses(app.name)
        except LookError as error:
            if error.status == 404:
                return ["IPv6", "IPv4"], []
            raise StepError(look_problem(error, f"addresses of {app.name}")) from None
        texts = [str(a.get("ip", "")) for a in found]
        public = [t for t in texts if t and not t.startswith("fdaa:")]
        lack = [
            kind
            for kind, there in (
                ("IPv6", any(":" in t for t in public)),
                ("IPv4", any("." in t for t in public)),
            )
            if not there
        ]
        return lack, public

    async def probe(ctx: Context) -> Probe:
        lack, public = await missing(ctx)
        if not lack:
            return Probe("present", ", ".join(public))
        return Probe("absent" if len(lack) == 2 else "different", f"no {' and no '.join(lack)}")

    async def apply(ctx: Context) -> Probe:
        lack, _ = await missing(ctx)
        for kind in lack:
            await run(ctx, v6 if kind == "IPv6" else v4, "address", facts={"name": app.name})
        lack, public = await missing(ctx)
        if lack:
            raise StepError(problems.problem("ADDRESS-1", name=app.name, kind=" and ".join(lack)))
        return Probe("present", ", ".join(public))

    return Step(
        id=f"address.{app.name}",
        title=f"Addresses of {app.name}",
        resource="addresses",
        name=f"{app.name}.fly.dev",
        why="public service",
        verb="create",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=(v6, v4),
        expected=(0, 5),
    )
