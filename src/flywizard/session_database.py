"""Owns drawing the database page: where Postgres lives, its price and its connections. Pure."""

from __future__ import annotations

from dataclasses import replace

from flywizard import cost
from flywizard.fronts import Action, Check, Choice, Note, PageView
from flywizard.session_fields import HEADINGS, RECHECK, blocked_by, field_of
from flywizard.session_state import State


def view(state: State, checks: tuple[Check, ...]) -> PageView:
    """Return the database page as it stands."""
    plans = tuple(
        Choice(p.key, p.label, p.detail, f"{cost.money(p.usd)} a month") for p in cost.postgres_plans()
    )
    fields = []
    for question in state.questions("database"):
        choices = plans if question.id == "database.plan" else None
        if question.id == "database.kind":
            choices = tuple(_priced(state, c) for c in question.choices)
        if question.id == "database.schema":
            choices = tuple(_schema_choice(state, c) for c in question.choices)
        fields.append(field_of(state, question, choices))
    lede = ""
    if state.findings is not None:
        found = state.findings.database
        wants = ", ".join(f"`{e.name}` ({e.evidence.file}:{e.evidence.line})" for e in found.extensions)
        lede = (
            f"The SQL asks for {wants}"
            if wants
            else ("No SQL extension is asked for" if found.needed else "The code needs no database")
        )
    actions = (
        Action("prove", "r", "Try it again") if state.value("database.kind") == "existing" else RECHECK,
    )
    return PageView(
        "database",
        HEADINGS["database"],
        lede,
        fields=tuple(fields),
        checks=checks,
        notes=tuple(_pool_notes(state)),
        actions=actions,
        commands=tuple(_commands(state)),
        blocked=blocked_by(state, "database", fields, checks),
        problem=next((c.problem for c in checks if c.state == "failed" and c.problem), None),
    )


def _priced(state: State, choice: Choice) -> Choice:
    if choice.value == "managed":
        plan = state.value("database.plan") or "basic"
        disk = state.value("database.storage_gb")
        try:
            usd = cost.total(cost.postgres(plan, int(disk) if disk.isdigit() else 10))
        except KeyError:
            return choice
        return replace(choice, price=f"{cost.money(usd)} a month")
    if choice.value == "existing":
        return replace(choice, price="billed by its provider")
    return choice


def _schema_choice(state: State, choice: Choice) -> Choice:
    if choice.value == "sql" and state.findings is not None and state.findings.database.schema.files:
        return replace(choice, detail=", ".join(state.findings.database.schema.files))
    return choice


def _pool_notes(state: State) -> list[Note]:
    """Compare the code's pools with the plan's connections (postgres.md §8)."""
    if state.findings is None or state.value("database.kind") != "managed":
        return []
    pools = state.findings.database.pools
    plan = next((p for p in cost.postgres_plans() if p.key == state.value("database.plan")), None)
    if not pools or plan is None or not plan.connections:
        return []
    from flywizard.project.rules_pool import processes as started_by

    processes = sum(
        started_by(s.command or "") for s in state.findings.services if s.role in {"api", "worker"}
    )
    size = max(p.size for p in pools)
    budget = int(plan.connections * 0.8)
    if size * processes <= budget:
        return [
            Note(
                "ok",
                f"pool {size} × {processes} processes = {size * processes} of {plan.connections} connections",
            )
        ]
    fits = max(1, budget // max(1, processes))
    return [
        Note(
            "warn",
            f"pool {size} × {processes} processes = {size * processes} > {budget} of {plan.connections} connections",
        ),
        Note("hint", f"a pool of {fits} fits"),
    ]


def _commands(state: State) -> list[str]:
    from flywizard.flyctl import commands

    if state.value("database.kind") != "managed":
        return ["nothing is created: the URL is tried now and set as a secret later"]
    values = state.values()
    if not values.get("database.name"):
        return ["the command is shown once the cluster has a name"]
    disk, version = values.get("database.storage_gb", "10"), values.get("database.version", "17")
    if not (disk.isdigit() and version.isdigit()):
        return []
    return [
        commands.mpg_create(
            values.get("database.name", ""), values.get("signin.organization", ""), values.get("signin.region", ""),
            values.get("database.plan", ""), int(disk), int(version),
        ).shown()
    ]  # fmt: skip
