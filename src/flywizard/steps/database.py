"""Owns the steps of the database: the cluster, its extensions, and the schema.

A cluster costs money: it is counted by name before and after, adopted when it is there, and never asked for
a second time before a look has proved that the first is absent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flywizard import problems, sql_script
from flywizard.flyctl import commands, decode
from flywizard.flyctl.verdict import Verdict
from flywizard.plan import Cost, Probe, Step, StepError
from flywizard.ports import Context
from flywizard.steps.common import credentials, database_urls, doubt, look, run
from flywizard.steps.target import DatabaseTarget, Target
from flywizard.vault import Secret

READY_LIMIT = 1200.0
"""Seconds that a cluster may take; ``fly launch`` itself waits 900."""
POLL = 5.0
"""Seconds between looks, as flyctl's own."""
ABSENT_AFTER = 120.0
"""Seconds after which a create without an answer is believed to have made nothing."""
CLUSTER = "database"
ONLY_FLY = "not looked at: only Fly has the database's URL"


async def clusters_named(ctx: Context, organization: str, name: str) -> list[decode.Cluster]:
    """Return the organisation's clusters of that name."""
    text = await look(ctx, commands.mpg_list(organization), "database", {"name": name})
    try:
        return [c for c in decode.clusters(text) if c.name == name]
    except decode.DecodeError as error:
        raise StepError(problems.problem("DECODE", command="fly mpg list", why=str(error))) from None


def _one(found: list[decode.Cluster], name: str) -> decode.Cluster | None:
    if len(found) > 1:
        ids = ", ".join(c.id for c in found)
        raise StepError(
            problems.problem("PG-TWICE", name=name, ids=ids, command=f"fly mpg destroy {found[-1].id}")
        )
    return found[0] if found else None


def cluster(
    target: Target, database: DatabaseTarget, costs: tuple[Cost, ...], *, needs: tuple[str, ...]
) -> Step:
    """Make the Managed Postgres cluster, or adopt the one of that name, and wait until it is ready."""
    command = commands.mpg_create(
        database.name,
        target.organization,
        target.region,
        database.plan,
        database.storage_gb,
        database.version,
    )

    async def ready(ctx: Context, found: decode.Cluster) -> Probe:
        status = await credentials(ctx, found.id)
        if status.cluster.status in ("error", "failed"):
            raise StepError(problems.problem("PG-FAILED", cluster=found.id))
        if status.cluster.status != "ready" or not status.credentials.ready:
            return Probe("different", status.cluster.status, {"id": found.id})
        ctx.secrets["database/pooled"] = status.credentials.pooled_url
        ctx.secrets["database/password"] = status.credentials.password
        text = f"ready, id {found.id}"
        if status.cluster.plan and status.cluster.plan.lower() != database.plan:
            text += f", plan {status.cluster.plan}"
        return Probe("present", text, {"id": found.id, "database": status.credentials.database or "fly-db"})

    async def probe(ctx: Context) -> Probe:
        found = _one(await clusters_named(ctx, target.organization, database.name), database.name)
        return Probe("absent") if found is None else await ready(ctx, found)

    async def apply(ctx: Context) -> Probe:
        began = ctx.ports.clock.monotonic()
        found = _one(await clusters_named(ctx, target.organization, database.name), database.name)
        if found is None:
            try:
                _, verdict = await run(
                    ctx, command, "database", facts={"name": database.name, "region": target.region}
                )
            except StepError as error:
                if error.problem.id == "STOPPED":
                    raise
                # a failed poll ends the command while the cluster lives on
                found = _one(await clusters_named(ctx, target.organization, database.name), database.name)
                if found is None:
                    raise
            else:
                found = await _settled(ctx, verdict, began)
        return await _wait(ctx, found, began)

    async def _settled(ctx: Context, verdict: Verdict, began: float) -> decode.Cluster:
        while True:
            found = _one(await clusters_named(ctx, target.organization, database.name), database.name)
            if found is not None:
                return found
            if verdict.ok or ctx.ports.clock.monotonic() - began > ABSENT_AFTER:
                why = verdict.text or "flyctl reported success, but no cluster of that name is listed"
                raise doubt(f"The cluster `{database.name}` was asked for, and is not there", why)
            ctx.report.waiting("the answer was lost: looking whether the cluster was made")
            await ctx.ports.clock.sleep(POLL)

    async def _wait(ctx: Context, found: decode.Cluster, began: float) -> Probe:
        while True:
            state = await ready(ctx, found)
            if state.state == "present":
                return state
            if ctx.ports.clock.monotonic() - began > READY_LIMIT:
                raise StepError(problems.problem("PG-11", cluster=found.id))
            ctx.report.waiting(f"cluster {found.id} is {state.text}")
            await ctx.ports.clock.sleep(POLL)

    async def undo(ctx: Context) -> str:
        await run(ctx, commands.mpg_destroy(ctx.facts[f"{CLUSTER}/id"]), "database")
        return f"removed Managed Postgres {database.name}"

    return Step(
        id=CLUSTER,
        title=f"Database {database.name}",
        resource="Managed Postgres",
        name=database.name,
        why="you, step 4",
        verb="create",
        probe=probe,
        apply=apply,
        undo=undo,
        needs=needs,
        commands=(command,),
        costs=costs,
        expected=(120, 300),
        paid=True,
        exclusive="database",
    )


def is_ready(ctx: Context) -> bool:
    """Tell whether the managed cluster was seen ready: one that is still being made has an id and no more."""
    return f"{CLUSTER}/database" in ctx.facts


async def existing_url(ctx: Context, database: DatabaseTarget) -> Secret:
    """Return the URL of a database that exists.

    Raises:
        StepError: nobody knows it.
    """
    url = ctx.ports.vault.get(database.url_key)
    if url is None:
        raise StepError(problems.problem("SECRET-MISSING", name=database.url_key))
    return url


def extension(database: DatabaseTarget, name: str, why: str, *, needs: tuple[str, ...]) -> Step:
    """Enable one extension and prove it."""
    managed = database.kind == "managed"
    shown = (commands.mpg_extension_enable("CLUSTER", database.database, name),) if managed else ()

    async def listed(ctx: Context) -> str | None:
        if not managed:
            return (await ctx.ports.database.installed(await existing_url(ctx, database))).get(name)
        text = await look(
            ctx,
            commands.mpg_extensions_list(ctx.facts[f"{CLUSTER}/id"], ctx.facts[f"{CLUSTER}/database"]),
            "extension",
            {"extension": name},
        )
        try:
            offered = {e.name: e for e in decode.extensions(text)}
        except decode.DecodeError as error:
            raise StepError(
                problems.problem("DECODE", command="fly mpg extensions list", why=str(error))
            ) from None
        if name not in offered:
            raise StepError(problems.problem("EXTENSION-UNKNOWN", extension=name, why=why))
        return offered[name].installed

    async def probe(ctx: Context) -> Probe:
        if managed and not is_ready(ctx):
            return Probe("absent")
        if not managed and ctx.ports.vault.get(database.url_key) is None:
            return Probe("present", ONLY_FLY)
        version = await listed(ctx)
        return Probe("absent") if not version else Probe("present", f"{name} {version}", {"version": version})

    async def apply(ctx: Context) -> Probe:
        if managed:
            command = commands.mpg_extension_enable(
                ctx.facts[f"{CLUSTER}/id"], ctx.facts[f"{CLUSTER}/database"], name
            )
            _, verdict = await run(ctx, command, "extension", facts={"extension": name})
            reason = verdict.text
        else:
            await ctx.ports.database.enable(await existing_url(ctx, database), name)
            reason = ""
        version = await listed(ctx)
        if not version:
            raise doubt(f"The extension `{name}` is not enabled", reason)
        return Probe("present", f"{name} {version}", {"version": version})

    return Step(
        id=f"extension.{name}",
        title=f"Extension {name}",
        resource="extension",
        name=name,
        why=why,
        verb="create",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=shown,
        expected=(1, 5),
        exclusive="database",
    )


def schema(database: DatabaseTarget, *, needs: tuple[str, ...]) -> Step:
    """Run the repository's SQL files once, before the first release; what was applied is recorded."""
    digest = hashlib.sha256("\0".join(text for _, text in database.schema).encode()).hexdigest()[:16]
    files = [path for path, _ in database.schema]
    tables = [name for _, text in database.schema for name in sql_script.tables_created(text)]
    managed = database.kind == "managed"

    async def with_url(ctx: Context, *, apply: bool) -> Probe:
        if not managed:
            return await on(ctx, await existing_url(ctx, database), apply=apply)
        _, direct = await database_urls(ctx, ctx.facts[f"{CLUSTER}/id"])
        from flywizard import dsn

        ctx.report.waiting("opening `fly mpg proxy` to the database")
        async with ctx.ports.tunnel.open(ctx.facts[f"{CLUSTER}/id"]) as (host, port):
            return await on(ctx, dsn.through(direct, host, port), apply=apply)

    async def on(ctx: Context, url: Secret, *, apply: bool) -> Probe:
        if not apply:
            return state(ctx, await ctx.ports.database.existing_tables(url, tables))
        for path, text in database.schema:
            ctx.report.progress(path)
            count = await ctx.ports.database.apply(url, text, ctx.report.waiting)
            ctx.report.progress(f"{path}: {count} statements")
        found = state(ctx, await ctx.ports.database.existing_tables(url, tables))
        if found.state != "present" and tables:
            raise doubt("The schema ran, but its tables are not all there", found.text)
        return Probe("present", f"{len(tables)} tables", facts(ctx))

    def facts(ctx: Context) -> dict[str, str]:
        """Return what was applied, and to which cluster: a new one of an old name is empty."""
        cluster = ctx.facts.get(f"{CLUSTER}/id", "") if managed else ""
        return {"digest": digest, "tables": str(len(tables)), "cluster": cluster}

    def state(ctx: Context, there: Sequence[str]) -> Probe:
        existing = set(there)
        if not tables:
            return Probe("absent", "no tables to look for")
        lack = [t for t in tables if t not in existing]
        if not lack:
            return Probe("present", f"{len(tables)} tables are there", facts(ctx))
        if len(lack) == len(tables):
            return Probe("absent")
        return Probe("different", f"{', '.join(lack)} missing; {len(existing)} there")

    async def probe(ctx: Context) -> Probe:
        earlier = ctx.earlier.get("schema", {})
        if {k: earlier.get(k) for k in ("digest", "cluster")}.items() <= facts(ctx).items():
            return Probe("present", f"applied before, {earlier.get('tables', '?')} tables", earlier)
        if managed and not is_ready(ctx):
            return Probe("absent")
        if not managed and ctx.ports.vault.get(database.url_key) is None:
            return Probe("present", ONLY_FLY)
        found = await with_url(ctx, apply=False)
        if found.state == "different":
            raise StepError(problems.problem("SCHEMA-PARTIAL", tables=found.text, files=", ".join(files)))
        return found

    async def apply(ctx: Context) -> Probe:
        return await with_url(ctx, apply=True)

    return Step(
        id="schema",
        title=f"Schema {', '.join(files)}",
        resource="schema",
        name=", ".join(files),
        why="before the first release",
        verb="run",
        probe=probe,
        apply=apply,
        needs=needs,
        commands=(commands.mpg_proxy("CLUSTER", 16380),) if managed else (),
        expected=(2, 15),
        exclusive="database",
        irreversible=True,
    )
