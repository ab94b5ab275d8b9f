"""Owns the live checks of the form pages: what can be proven before anything costs money. Only looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path

from flywizard import cost, problems, proofs, providers
from flywizard.answers import BY_ID, validate
from flywizard.events import Problem
from flywizard.flyctl import commands, decode
from flywizard.flyctl.verdict import reading
from flywizard.fronts import Check, CheckState, OnCheck, Page
from flywizard.plan import StepError
from flywizard.ports import KafkaSettings, LookError, Ports, Stage
from flywizard.session_state import FLY_HAS_IT, State

Doors = Callable[[], Awaitable[Ports]]


async def run_checks(state: State, page: Page, doors: Doors, root: Path, on_check: OnCheck) -> None:
    """Run a page's checks at the same time, reporting each change; none hides another."""

    def tell(check: Check) -> None:
        state.remember(page, check)
        on_check(check)

    state.checks[page] = {}
    match page:
        case "signin":
            await _signin(state, doors, tell)
        case "project":
            await _gathered(_app_name(state, field, doors, tell) for field in _app_fields(state))
        case "database":
            await _database(state, doors, tell)
        case "broker":
            await _broker(state, doors, root, tell)
        case "secrets":
            await _secrets(state, tell)
        case _:
            return


async def _gathered(checks: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*checks)


async def _signin(state: State, doors: Doors, tell: OnCheck) -> None:
    account = state.account
    if state.account_problem is not None:
        problem = state.account_problem
        tell(
            Check(
                "who",
                "signed in",
                "failed",
                problem.what,
                fix="`fly auth login`, or a token in `FLY_API_TOKEN`",
                action="login",
                problem=problem,
            )
        )
        return
    tell(Check("who", "signed in", "ok", f"{account.email}, by {account.how}"))
    organization, region = state.value("signin.organization"), state.value("signin.region")
    if organization in account.organizations:
        tell(Check("organization", "organisation", "ok", organization))
    else:
        known = ", ".join(f"`{o}`" for o in account.organizations) or "none"
        tell(
            Check(
                "organization", "organisation", "failed", f"this account has no `{organization}`",
                fix=f"choose one of {known}",
            )
        )  # fmt: skip
    found = next((r for r in account.regions if r.code == region), None)
    if found is None:
        tell(
            Check(
                "region", "region", "failed", f"there is no region `{region}`", fix="choose one of the list"
            )
        )
    elif not found.managed_postgres and state.value("database.kind") == "managed":
        tell(Check("region", "region", "warn", f"{region} has no Managed Postgres", fix=_nearest(state)))
    else:
        tell(Check("region", "region", "ok", f"{region}, {found.name}"))
    if organization in account.organizations:
        await _billing(organization, doors, tell)


async def _billing(organization: str, doors: Doors, tell: OnCheck) -> None:
    """Name a missing card or an unpaid bill before anything paid is planned."""
    check = Check("billing", "billing", "running", "asking")
    tell(check)
    try:
        found = await (await doors()).look.organization(organization)
    except LookError as error:
        tell(replace(check, state="skipped", text=f"could not be asked: {error.text}"))
        return
    except StepError as error:
        tell(replace(check, state="skipped", text=error.problem.what))
        return
    status = str(found.get("billing_status") or found.get("billingStatus") or "CURRENT")
    if found.get("billable") is False:
        problem = problems.problem("APP-3", organization=organization)
        tell(replace(check, state="warn", text="no payment method", fix=problem.why, problem=problem))
    elif status.upper() != "CURRENT":
        fix = f"see `https://fly.io/dashboard/{organization}/billing`"
        tell(replace(check, state="warn", text=f"Fly says `{status.lower()}`", fix=fix))
    else:
        tell(replace(check, state="ok", text="in order"))


def _nearest(state: State) -> str:
    offered = [r.code for r in state.account.regions if r.managed_postgres]
    return f"regions that have it: {', '.join(offered)}" if offered else "no region of this account has it"


def _app_fields(state: State) -> list[str]:
    fields = [q.id for q in state.questions("project") if q.id.endswith(".app")]
    return [f for f in fields if state.value(f)]


async def _app_name(state: State, field: str, doors: Doors, tell: OnCheck) -> None:
    name = state.value(field)
    check = Check(f"name:{field}", f"app {name}", "running", "asking whether the name is free")
    tell(check)
    if validate(BY_ID[field], name):
        tell(replace(check, state="waiting", text="needs a name that can be used"))
        return
    if not state.account.email:
        tell(replace(check, state="skipped", text="not asked: nobody is signed in"))
        return
    ports = await doors()
    try:
        found = await ports.look.app(name)
    except LookError as error:
        tell(replace(check, state="warn", text=f"could not be asked: {error.text}"))
        return
    if found == "absent":
        tell(replace(check, state="ok", text="the name is free"))
    elif isinstance(found, str):
        other = f"{name}-{state.value('signin.organization')}"[:63]
        problem = problems.problem("APP-1", name=name)
        tell(
            replace(
                check, state="failed", text="the name is taken by somebody else",
                fix=f"another name, such as `{BY_ID[field].flag} {other}`", action=f"rename:{field}:{other}", problem=problem,
            )
        )  # fmt: skip
    else:
        owner = str((found.get("organization") or {}).get("slug", ""))
        if owner and owner != state.value("signin.organization"):
            tell(
                replace(
                    check,
                    state="failed",
                    text=f"it belongs to your organisation `{owner}`",
                    fix=f"another name, by `{BY_ID[field].flag} NAME`",
                )
            )
        else:
            tell(replace(check, state="ok", text="it is yours already and is reused"))


async def _database(state: State, doors: Doors, tell: OnCheck) -> None:
    kind = state.value("database.kind")
    if kind == "managed":
        _plan(state, tell)
        _region(state, tell)
        await _cluster_name(state, doors, tell)
    elif kind == "existing":
        url = state.secret("database.url")
        if url is None:
            held = state.secret_source("database.url") == FLY_HAS_IT
            text = "only Fly has the URL: not tried from here" if held else "needs its URL"
            tell(Check("url", "database", "skipped" if held else "waiting", text))
            return
        ports = await doors()
        wanted = [e.name for e in state.findings.database.extensions] if state.findings else []
        await _proof(state, "postgres", ports.database.prove(url, wanted), tell)


def _plan(state: State, tell: OnCheck) -> None:
    plan = state.value("database.plan")
    known = [p.key for p in cost.postgres_plans()]
    if plan in known:
        return
    tell(
        Check(
            "plan", "plan", "failed", f"there is no plan `{plan}`",
            fix=f"one of {', '.join(f'`{k}`' for k in known)}; flyctl would silently make `basic`",
        )
    )  # fmt: skip


def _region(state: State, tell: OnCheck) -> None:
    region = state.value("signin.region")
    found = next((r for r in state.account.regions if r.code == region), None)
    if found is None:
        return
    if found.managed_postgres:
        tell(Check("region", f"offered in {region}", "ok"))
    else:
        tell(
            Check(
                "region", f"Managed Postgres in {region}", "failed", "not offered there", fix=_nearest(state)
            )
        )


async def _cluster_name(state: State, doors: Doors, tell: OnCheck) -> None:
    name, organization = state.value("database.name"), state.value("signin.organization")
    if validate(BY_ID["database.name"], name):
        tell(Check("cluster", "cluster", "waiting", "needs a name that can be used"))
        return
    check = Check("cluster", f"cluster {name}", "running", "looking for one of that name")
    tell(check)
    if not state.account.email:
        tell(replace(check, state="skipped", text="not asked: nobody is signed in"))
        return
    ports = await doors()
    ended = await ports.fly.run(commands.mpg_list(organization))
    verdict = reading(ended, changes=False)
    if verdict.kind != "done":
        problem = problems.diagnose("database", verdict.text, exit_code=ended.code)
        tell(replace(check, state="failed", text=problem.what, fix=problem.why, problem=problem))
        return
    try:
        found = [c for c in decode.clusters(ended.stdout) if c.name == name]
    except decode.DecodeError as error:
        tell(replace(check, state="warn", text=str(error)))
        return
    match found:
        case []:
            tell(replace(check, state="ok", text="the name is free"))
        case [one]:
            tell(replace(check, state="ok", text=f"there is one ({one.status}); it is reused"))
        case _:
            ids = ", ".join(c.id for c in found)
            problem = problems.problem("PG-TWICE", name=name, ids=ids)
            tell(
                replace(
                    check,
                    state="failed",
                    text=f"{len(found)} clusters have this name: {ids}",
                    problem=problem,
                )
            )


async def _broker(state: State, doors: Doors, root: Path, tell: OnCheck) -> None:
    if state.value("broker.kind") != "sasl":
        return
    if state.findings is not None and state.findings.broker.sasl_capable is False:
        where = state.findings.broker.without_sasl
        place = f"{where[0].file}:{where[0].line}" if where else "the client"
        tell(
            Check(
                "client", "the code's client", "failed", f"{place} passes no sign-in",
                fix="pass security protocol, mechanism, user and password to the client, from the environment",
            )
        )  # fmt: skip
    settings = kafka_settings(state, root)
    held = [f for f in ("broker.username", "broker.password") if state.secret_source(f) == FLY_HAS_IT]
    if isinstance(settings, str) and held:
        text = "only Fly has the sign-in: not proven from here"
        tell(Check("parse", "broker", "skipped", text))
        return
    if isinstance(settings, str):
        tell(Check("parse", "broker", "waiting", settings))
        return
    ports = await doors()
    topics = [t.strip() for t in state.value("broker.topics").split(",") if t.strip()]
    groups = state.findings.broker.groups if state.findings is not None else ()
    stages = ports.kafka.prove(settings, topics, groups[0] if groups else None)
    await _proof(state, "kafka", stages, tell)


def kafka_settings(state: State, root: Path) -> KafkaSettings | str:
    """Return the settings to prove, or what is still missing in words."""
    bootstrap = state.value("broker.bootstrap")
    if not bootstrap:
        return "needs the bootstrap servers"
    user, password = state.secret("broker.username"), state.secret("broker.password")
    if user is None or password is None:
        preset = providers.provider(state.value("broker.provider") or "other")
        return f"needs {preset.user_label if user is None else preset.password_label}"
    pem: str | None = None
    ca_file = state.value("broker.ca_file")
    if ca_file:
        try:
            path = Path(ca_file).expanduser()
            pem = (path if path.is_absolute() else root / path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return f"can't read the CA file `{ca_file}`"
    return KafkaSettings(
        bootstrap,
        state.value("broker.protocol") or "SASL_SSL",
        state.value("broker.mechanism") or "PLAIN",
        user,
        password,
        pem,
    )


async def _proof(state: State, kind: proofs.Kind, stages: AsyncIterator[Stage], tell: OnCheck) -> None:
    last: Problem | None = None
    async for stage in stages:
        problem = None
        if stage.state == "failed":
            problem = last = proofs.stage_problem(kind, stage)
        text = state.redactor.mask(stage.text)
        shown: CheckState = stage.state
        tell(Check(stage.id, stage.title, shown, text, seconds=stage.seconds, problem=problem))
    del last


async def _secrets(state: State, tell: OnCheck) -> None:
    vault = state.vault
    if vault is None:
        return
    if vault.lasting or state.rehearsal:
        tell(Check("place", "kept in", "ok", vault.place))
    else:
        why = vault.refused.text if vault.refused is not None else "the OS keyring can't be used"
        tell(
            Check(
                "place",
                "kept in memory for this run only",
                "warn",
                why,
                fix="Fly keeps what it is given; you are asked again next time",
            )
        )
    missing = [i.name for i in state.items() if i.origin == "missing"]
    if missing:
        tell(Check("missing", "values", "failed", f"{', '.join(missing)} missing", fix="enter them above"))
