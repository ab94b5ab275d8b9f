"""Owns the steps that stage an app's secrets and verify them by name."""

from __future__ import annotations

import asyncio

from flywizard import problems
from flywizard.flyctl import commands, decode, secret_lines
from flywizard.plan import Command, Probe, Step, StepError
from flywizard.ports import Context, LookError
from flywizard.steps.common import database_urls, doubt, look, look_problem, run
from flywizard.steps.database import is_ready
from flywizard.steps.target import AppTarget, SecretWish
from flywizard.vault import Secret, fingerprint, matches


async def value_of(ctx: Context, wish: SecretWish) -> Secret | None:
    """Return the value of a wish, or None when nobody here knows it (Fly may)."""
    from flywizard import dsn

    if wish.kind == "literal":
        return Secret(wish.literal)
    if wish.kind == "vault":
        value = ctx.ports.vault.get(wish.key or wish.name)
        return dsn.for_driver(value, wish.driver) if value is not None and wish.driver else value
    if not is_ready(ctx):
        return None
    pooled, direct = await database_urls(ctx, ctx.facts["database/id"])
    match wish.kind:
        case "database":
            return dsn.for_driver(pooled, wish.driver)
        case "direct-database":
            return dsn.for_driver(direct, wish.driver)
        case "part":
            return dsn.part(pooled, wish.key)


def stage(app: AppTarget, *, needs: tuple[str, ...]) -> Step:
    """Stage all of an app's secrets in one go; they are applied by its next release."""
    step_id = f"secrets.{app.name}"
    wishes = app.secrets
    names = [w.name for w in wishes]
    shown = commands.secrets_import(app.name, names)

    async def held(ctx: Context) -> dict[str, str]:
        try:
            return dict(await ctx.ports.look.secrets(app.name))
        except LookError as error:
            if error.status == 404:
                return {}
            raise StepError(look_problem(error, f"secrets of {app.name}")) from None

    async def wanted(ctx: Context, there: dict[str, str]) -> dict[str, Secret]:
        """Return the values that must be set: missing at Fly, entered just now, or different."""
        earlier = ctx.earlier.get(step_id, {})
        out: dict[str, Secret] = {}
        for wish in wishes:
            known = wish.name in there
            digest = earlier.get(f"digest:{wish.name}")
            mark = earlier.get(f"mark:{wish.name}")
            if known and digest is None and not wish.fresh and not ctx.in_doubt:
                continue
            if known and digest == there[wish.name] and mark is None:
                continue
            value = await value_of(ctx, wish)
            if value is None:
                if known:
                    continue
                raise StepError(problems.problem("SECRET-MISSING", name=wish.name))
            same = mark is not None and await asyncio.to_thread(
                matches, ctx.ports.vault, wish.name, value, mark
            )
            if known and digest == there[wish.name] and same:
                continue
            out[wish.name] = value
        return out

    async def probe(ctx: Context) -> Probe:
        there = await held(ctx)
        if not there:
            return Probe("absent")
        if any(w.name not in there for w in wishes):
            return Probe("different", "some are missing")
        if await wanted(ctx, there):
            return Probe("different", "some differ")
        return Probe("present", f"{len(names)} on {app.name}", ctx.earlier.get(step_id, {}))

    async def apply(ctx: Context) -> Probe:
        values = await wanted(ctx, await held(ctx))
        writes = secret_lines.plan_secret_writes({name: value.reveal() for name, value in values.items()})
        if writes.refused:
            name, reason = writes.refused[0]
            raise StepError(problems.problem("SECRET-REFUSED", name=name, reason=reason))
        if writes.import_text:
            inside = [n for n in values if n not in {s for s, _ in writes.singles}]
            await _send(ctx, commands.secrets_import(app.name, inside), writes.import_text)
        for name, value in writes.singles:
            await _send(ctx, commands.secrets_set(app.name, name), value)
        text = await look(ctx, commands.secrets_list(app.name), "secrets", {"name": app.name})
        try:
            after = {s.name: s.digest for s in decode.secrets(text)}
        except decode.DecodeError as error:
            raise StepError(problems.problem("DECODE", command="fly secrets list", why=str(error))) from None
        lost = [n for n in names if n not in after]
        if lost:
            raise StepError(problems.problem("SECRET-LOST", names=", ".join(lost), app=app.name))
        facts = dict(ctx.earlier.get(step_id, {}))
        for name, secret in values.items():
            facts[f"digest:{name}"] = after[name]
            facts[f"mark:{name}"] = await asyncio.to_thread(fingerprint, ctx.ports.vault, name, secret)
        return Probe("present", f"{len(values)} staged on {app.name}", facts)

    async def _send(ctx: Context, command: Command, stdin: bytes) -> None:
        """Stage values. The same ones again change nothing, so a lost answer is worth a second try.

        A name in the list does not prove its value: without an answer nothing is taken for set.
        """
        facts = {"name": app.name}
        _, verdict = await run(ctx, command, "secrets", stdin=stdin, facts=facts)
        if verdict.kind == "doubt":
            ctx.report.waiting("the answer was lost: sending the same values again")
            _, verdict = await run(ctx, command, "secrets", stdin=stdin, facts=facts)
        if verdict.kind == "doubt":
            raise doubt(f"It is not known whether the secrets of `{app.name}` were set", verdict.text)

    files = sorted({w.why.partition(":")[0] for w in wishes if w.why})
    return Step(
        id=step_id,
        title=f"Secrets of {app.name}",
        resource="secrets",
        name=f"{len(names)} on {app.name}",
        why=files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        if files
        else "flywizard.toml",
        verb="set",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=(shown,),
        expected=(1, 5),
        exclusive="secrets",
    )
