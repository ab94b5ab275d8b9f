"""Machines that exist are updated in place: leases first, then all groups at the same time.

When one group fails while another is in flight, the other is cancelled and the command ends with 127.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field

from flywizard.rehearsal.fly_core import Canceled, Failure, Json, StatusFailure
from flywizard.rehearsal.fly_deploy_launch import prefix
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_deploy_watch import (
    check_listening,
    needs_health,
    smoke_check,
    wait_healthy,
    wait_state,
)
from flywizard.rehearsal.fly_machine import acquire, machine_path

GRACE = 0.03
"""Between one group's failure and the cancelling of the others."""


@dataclass(slots=True)
class _Update:
    rollout: Rollout
    machines: list[Json]
    failures: list[Failure] = field(default_factory=list)
    canceled: bool = False

    def label(self, machine: Json) -> str:
        return f"{machine['id']} [{self.rollout.group_of(machine)}]"

    def at(self, machine: Json) -> str:
        return prefix(self.machines.index(machine) + 1, len(self.machines))

    def say(self, machine: Json, text: str, glyph: str = ">") -> None:
        self.rollout.fly.print(f"{glyph} {self.at(machine)}{text}")

    # -- leases --------------------------------------------------------------------------------

    async def take(self) -> None:
        """A lease on every machine, all at once; waits in silence for those held by others."""
        rollout = self.rollout
        ttl = int(rollout.lease)

        async def one(machine: Json) -> None:
            await acquire(rollout.fly, rollout.name, str(machine["id"]), ttl)

        results = await asyncio.gather(*(one(m) for m in self.machines), return_exceptions=True)
        failures = [r for r in results if isinstance(r, BaseException)]
        if not failures:
            return
        first = failures[0]
        if isinstance(first, Failure):
            rollout.fly.warn(f"failed to acquire lease: {first.text}")
        held = [m for m, r in zip(self.machines, results, strict=True) if not isinstance(r, BaseException)]
        await self.give_back(held)
        raise first

    async def give_back(self, machines: list[Json]) -> None:
        """Releases leases."""
        for machine in machines:
            try:
                await self.rollout.fly.flaps(
                    "DELETE", f"{machine_path(self.rollout.name, machine['id'])}/lease"
                )
            except Failure as failure:
                self.rollout.fly.warn(
                    f"failed to release lease for machine {self.label(machine)}: {failure.text}"
                )

    async def refresh(self) -> None:
        """Keeps the leases alive, for ever."""
        rollout = self.rollout
        while True:
            await rollout.fly.transport.sleep(rollout.lease // 3 or 1)
            for machine in self.machines:
                with suppress(Failure):
                    path = f"{machine_path(rollout.name, machine['id'])}/lease?ttl={int(rollout.lease)}"
                    await rollout.fly.flaps("POST", path)

    # -- one machine ---------------------------------------------------------------------------

    async def update(self, machine: Json) -> None:
        """Updates one machine and watches it."""
        rollout, label = self.rollout, self.label(machine)
        group, machine_id = rollout.group_of(machine), str(machine["id"])
        old = machine.get("config") or {}
        launched = not old.get("standbys") and not _idle(machine)
        self.say(machine, f"Updating {label}")
        self.say(machine, f"Updating {label}")
        body = rollout.machine_body(group, standby_for=(old.get("standbys") or [""])[0])
        body["config"]["env"].pop("FLY_STANDBY_FOR", None)
        kept = {k: v for k, v in (old.get("metadata") or {}).items() if k not in body["config"]["metadata"]}
        body["config"]["metadata"] = dict(sorted({**kept, **body["config"]["metadata"]}.items()))
        if old.get("mounts"):
            body["config"] = _with_mounts(body["config"], old["mounts"])
        body["region"] = machine.get("region")
        if not launched:
            body["skip_launch"] = True
        body |= {"skip_secrets": False, **rollout.secrets_version()}
        try:
            await rollout.fly.flaps(
                "POST", machine_path(rollout.name, machine_id), body, what=f"failed to update VM {machine_id}"
            )
            if launched and rollout.strategy != "immediate":
                await self.watch(machine, body["config"])
        except asyncio.CancelledError:
            self.canceled = True
            self.say(machine, f"Machine {label} update canceled while it was in progress", "✖")
            raise
        except Failure as failure:
            self.failures.append(failure)
            self.say(machine, f"Machine {label} update failed: {failure.text}", "✖")
            raise
        self.say(machine, f"Machine {label} update succeeded", "✔")

    async def watch(self, machine: Json, config: Json) -> None:
        """Start, smoke check, health, sockets."""
        rollout, label, machine_id = self.rollout, self.label(machine), str(machine["id"])
        if rollout.health:
            self.say(machine, f"Waiting for {label} to have state: started")
            await wait_state(rollout, machine_id, "started", rollout.wait)
            self.say(machine, f"Machine {label} has state: started")
        self.say(machine, f"Checking that {label} is up and running")
        if rollout.smoke:
            await smoke_check(rollout, machine_id, lambda: bool(self.failures))
        try:
            if needs_health(rollout, config):
                await wait_healthy(
                    rollout,
                    machine_id,
                    lambda count: self.say(machine, f"Waiting for {label} to become healthy: {count}\n"),
                )
        finally:
            if not rollout.fly.transport.interrupted:
                await check_listening(rollout, machine_id, config)

    async def group(self, machines: list[Json]) -> None:
        """One group: stopped machines at once, the others in batches of a third."""
        cold = [m for m in machines if m.get("state") != "started" or (m.get("config") or {}).get("standbys")]
        warm = [m for m in machines if m not in cold]
        size = _batch(self.rollout, len(warm))

        async def running() -> None:
            for start in range(0, len(warm), size):
                await _all([self.update(m) for m in warm[start : start + size]])

        await _all([*(self.update(m) for m in cold), running()])


def _with_mounts(config: Json, mounts: Json) -> Json:
    made: dict[str, Json] = {}
    for key, value in config.items():
        made[key] = value
        if key == "metadata":
            made["mounts"] = [{k: m[k] for k in ("path", "volume", "name") if k in m} for m in mounts]
    return made


def _batch(rollout: Rollout, count: int) -> int:
    deploy = rollout.config.definition.get("deploy") or {}
    limit = float(rollout.fly.flag("max-unavailable") or deploy.get("max_unavailable") or 0.33)
    return max(1, int(limit) if limit >= 1 else math.floor(limit * count))


async def _all(work: list) -> None:  # type: ignore[type-arg]
    """Runs coroutines together; the first failure cancels the rest, after a moment's grace."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def update_machines(rollout: Rollout, machines: list[Json]) -> None:
    """Updates machines, all groups at the same time.

    Raises:
        Failure: one group failed and no other was in flight.
        Canceled: one group failed while another was in flight.
    """
    ordered = sorted(machines, key=lambda m: (rollout.group_of(m), str(m["id"])))
    update = _Update(rollout, ordered)
    await update.take()
    rollout.fly.print(f"Updating existing machines in '{rollout.name}' with {rollout.strategy} strategy")
    refresher = asyncio.ensure_future(update.refresh())
    groups: dict[str, list[Json]] = {}
    for machine in ordered:
        groups.setdefault(rollout.group_of(machine), []).append(machine)
    tasks = [asyncio.ensure_future(update.group(found)) for found in groups.values()]
    release = True
    try:
        await _together(update, tasks)
    except asyncio.CancelledError:
        release = False
        if rollout.fly.transport.interrupted:
            fly = rollout.fly
            fly.info("detected canceled context and allowing 500ms to release machine leases")
            for machine in ordered:
                fly.info(
                    "detected canceled context and allowing 500ms to release machine"
                    f" {update.label(machine)} lease"
                )
        raise
    finally:
        refresher.cancel()
        with suppress(asyncio.CancelledError):
            await refresher
        if release:
            await update.give_back(ordered)


async def _together(update: _Update, tasks: list[asyncio.Task[None]]) -> None:
    try:
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(t.exception() for t in done) and pending:
            await update.rollout.fly.transport.sleep(GRACE)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    if update.failures:
        if update.canceled:
            raise Canceled
        first = update.failures[0]
        texts = "\n".join(f.text for f in update.failures)
        joined = Failure(texts, more=first.more, request_id=first.request_id, trace=first.trace)
        raise joined
    for result in results:
        if isinstance(result, StatusFailure | Failure):
            raise result
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def _idle(machine: Json) -> bool:
    """Whether a machine rests until the proxy wakes it: such a one is updated without being started."""
    services = (machine.get("config") or {}).get("services") or []
    return machine.get("state") in ("stopped", "suspended") and any(
        s.get("autostop") or s.get("autostart") for s in services
    )
