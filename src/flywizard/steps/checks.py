"""Owns flywizard's own smoke tests of the public addresses, and of a worker that has none."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from flywizard import problems
from flywizard.plan import Probe, Step, StepError
from flywizard.ports import AnotherFly, Context, LookError
from flywizard.steps.common import look_problem
from flywizard.steps.releases import release_of
from flywizard.steps.target import AppTarget, Target

TRIES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each try: a new address may need a moment."""
_SCRIPT = re.compile(r"""<script[^>]+src=["']([^"']+)["']""", re.IGNORECASE)
MOST_SCRIPTS = 12


def smoke(target: Target, app: AppTarget, *, needs: tuple[str, ...]) -> Step:
    """Ask the app's public address the way a visitor would."""

    async def probe(ctx: Context) -> Probe:
        earlier = ctx.earlier.get(f"check.{app.name}", {})
        if earlier and earlier.get("release") == release_of(ctx, target, app):
            return Probe("present", "answered before, nothing changed since", earlier)
        return Probe("absent")

    async def apply(ctx: Context) -> Probe:
        if not app.public:
            return await _machines(ctx)
        try:
            said = await _visit(ctx)
        except AnotherFly as error:
            said = [
                f"not asked: Fly's API is at `{error}` here, so `{app.url}` is not this deployment "
                "or can't be reached"
            ]
            ctx.report.progress(f"! {said[0]}")
        return Probe("present", " · ".join(said), {"release": release_of(ctx, target, app), "url": app.url})

    async def _visit(ctx: Context) -> list[str]:
        said = []
        for path in dict.fromkeys(
            filter(None, (app.health, app.deep_health, "/" if not app.health else None))
        ):
            said.append(await _ask(ctx, path))
        if app.public_values:
            said.append(await _scripts(ctx))
        return said

    async def _ask(ctx: Context, path: str) -> str:
        url = app.url + path
        status, body = 0, ""
        for wait in TRIES:
            if wait:
                ctx.report.waiting(f"`{url}` answered {status or 'nothing'}; asking again")
                await ctx.ports.clock.sleep(wait)
            began = ctx.ports.clock.monotonic()
            try:
                status, body, _ = await ctx.ports.web.get(url)
            except AnotherFly:
                raise
            except OSError as error:
                status, body = 0, type(error).__name__
                continue
            if 200 <= status < 400:
                return f"{path} {status} in {(ctx.ports.clock.monotonic() - began) * 1000:.0f} ms"
        raise StepError(
            problems.problem(
                "CHECK-1", url=url, status=str(status) if status else "no answer", body=body[:300]
            )
        )

    async def _scripts(ctx: Context) -> str:
        _, page, _ = await ctx.ports.web.get(app.url + "/")
        texts = [page]
        for source in _SCRIPT.findall(page)[:MOST_SCRIPTS]:
            address = urljoin(app.url + "/", source)
            if address.startswith(app.url):
                _, text, _ = await ctx.ports.web.get(address)
                texts.append(text)
        lack = [v for v in app.public_values if not any(v in text for text in texts)]
        if lack:
            raise StepError(problems.problem("BUILD-6", url=app.url, value=", ".join(lack)))
        return "the page knows the API's address"

    async def _machines(ctx: Context) -> Probe:
        try:
            machines = await ctx.ports.look.machines(app.name)
        except LookError as error:
            raise StepError(look_problem(error, f"machines of {app.name}")) from None
        started = [m for m in machines if m.state == "started"]
        if not started:
            raise StepError(problems.problem("DEPLOY-13", app=app.name))
        return Probe("present", f"{len(started)} started", {"release": release_of(ctx, target, app)})

    return Step(
        id=f"check.{app.name}",
        title=f"Check {app.url if app.public else app.name}",
        resource="check",
        name=app.url if app.public else app.name,
        why="own smoke test",
        verb="run",
        probe=probe,
        apply=apply,
        needs=needs,
        expected=(1, 10),
        reads=True,
        skippable="the services run, but nobody has asked their public address",
    )
