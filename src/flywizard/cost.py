"""Owns prices: what a plan costs a month, each figure with its source and date (data in ``prices.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from flywizard.plan import Cost


@cache
def prices() -> dict[str, Any]:
    """Return the price table."""
    return tomllib.loads(files("flywizard").joinpath("prices.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class PostgresPlan:
    """A Managed Postgres plan."""

    key: str
    """What ``fly mpg create --plan`` takes."""
    label: str
    detail: str
    usd: float
    connections: int
    """Server connections of the pooler; 0: not published."""


def postgres_plans() -> tuple[PostgresPlan, ...]:
    """Return the plans that ``fly mpg create`` really makes.

    ``Performance`` is left out: flyctl 0.4.87 lower-cases the word and then silently makes Basic.
    """
    return tuple(
        PostgresPlan(key, row["label"], row["detail"], row["usd"], row["connections"])
        for key, row in prices()["postgres"].items()
    )


def _cost(what: str, usd: float, *, about: bool = False, idle: float | None = None) -> Cost:
    return Cost(what, usd, prices()["source"], prices()["date"], about, idle)


def postgres(plan: str, storage_gb: int) -> tuple[Cost, ...]:
    """Return the price of a cluster: its plan and its storage.

    Raises:
        KeyError: an unknown plan.
    """
    row = prices()["postgres"][plan]
    return (
        _cost(f"Managed Postgres {row['label']}", row["usd"]),
        _cost(f"{storage_gb} GB of storage", storage_gb * prices()["postgres_storage"]["usd_per_gb"]),
    )


def region_ratio(region: str) -> tuple[float, bool]:
    """Return (ratio to the list price, whether it is a guess)."""
    table = prices()["regions"]
    if region in table and isinstance(table[region], float):
        return table[region], False
    if region in table["near"]:
        return table["default"], False
    return table["elsewhere"], True


def machine_usd(memory_mb: int, region: str, preset: str = "shared-cpu-1x") -> tuple[float, bool]:
    """Return (US dollars a month of one always-on machine, whether it is a guess)."""
    row = prices()["machines"][preset]
    ratio, guess = region_ratio(region)
    listed = prices()["listed"].get(preset, {}).get(str(memory_mb))
    if listed is not None:
        return listed * ratio, guess
    beyond = max(0, memory_mb - row["memory_mb"]) / 1024
    return (row["usd"] + beyond * prices()["memory"]["usd_per_gb"]) * ratio, guess


def machines(what: str, count: int, memory_mb: int, region: str, *, stops_when_idle: bool = False) -> Cost:
    """Return the price of ``count`` machines, always on, and what stays when they are stopped."""
    usd, guess = machine_usd(memory_mb, region)
    return _cost(what, usd * count, about=guess, idle=0.0 if stops_when_idle else None)


def total(costs: Iterable[Cost]) -> float:
    """Return the sum a month, rounded to cents once."""
    return round(sum(c.usd for c in costs), 2)


def idle_total(costs: Iterable[Cost]) -> float:
    """Return what is billed a month when nothing is asked of the services, rounded to cents once."""
    return round(sum(c.usd if c.idle_usd is None else c.idle_usd for c in costs), 2)


def money(usd: float, *, about: bool = False) -> str:
    """Return ``$40.80`` or ``about $40.80``."""
    return f"{'about ' if about else ''}${usd:,.2f}"
