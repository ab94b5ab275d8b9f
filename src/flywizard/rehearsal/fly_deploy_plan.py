"""A rollout: what a release does to an app's machines, and in which order.

New groups get machines one after another; machines that exist are updated by all groups at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flywizard.rehearsal.fly_config import AppConfig
from flywizard.rehearsal.fly_core import Failure, Fly, Json
from flywizard.rehearsal.fly_machine_config import machine_config, mount_of, services_of

RELEASE_GROUP = "fly_app_release_command"


@dataclass(slots=True)
class Rollout:
    """Everything one release needs. Times in seconds of World time."""

    fly: Fly
    config: AppConfig
    name: str
    app: Json
    image: str
    build_id: int
    strategy: str
    wait: float
    lease: float
    release_timeout: float
    smoke: bool
    health: bool
    high_availability: bool
    restart_only: bool = False
    machines: list[Json] = field(default_factory=list)
    volumes: list[Json] = field(default_factory=list)
    release: dict[str, Any] = field(default_factory=dict)
    autostop_note: str = ""
    listened: set[str] = field(default_factory=set)

    # -- what is there -------------------------------------------------------------------------

    @staticmethod
    def group_of(machine: Json) -> str:
        """The process group that a machine's metadata names."""
        return str(((machine.get("config") or {}).get("metadata") or {}).get("fly_process_group") or "app")

    async def list_machines(self) -> None:
        """Reads the app's machines, those of release commands left out."""
        found = await self.fly.flaps(
            "GET",
            f"/v1/apps/{self.name}/machines",
            what="" if self.restart_only else "failed to list VMs even after retries",
        )
        self.machines = [
            m
            for m in found or []
            if ((m.get("config") or {}).get("metadata") or {}).get("fly_platform_version") == "v2"
            and self.group_of(m) != RELEASE_GROUP
            and m.get("state") not in ("destroyed", "destroying")
        ]

    def region(self) -> str:
        """Where new machines and volumes go."""
        return self.fly.region() or str(self.config.definition.get("primary_region") or "ams")

    def has_http(self) -> bool:
        """Whether the app has a public HTTP service."""
        for group in self.config.groups():
            for service in services_of(self.config, group):
                if any("http" in (p.get("handlers") or []) for p in service.get("ports") or []):
                    return True
        return False

    def free_volume(self, source: str) -> Json:
        """A volume of this name that no machine has."""
        return next(
            (v for v in self.volumes if v.get("name") == source and not v.get("attached_machine_id")), None
        )

    def machine_body(self, group: str, *, volume: Json = None, standby_for: str = "") -> dict[str, Any]:
        """The body that creates or updates a machine of a group."""
        body: dict[str, Any] = {
            "config": machine_config(
                self.config, group, self.image, self.release, volume=volume, standby_for=standby_for,
                flags=self.fly.flags,
            ),
            "region": self.region(),
        }  # fmt: skip
        return body

    def secrets_version(self) -> dict[str, int]:
        """`min_secrets_version`, when this configuration directory has written secrets of the app."""
        seen = self.fly.settings.minvers.get(self.name)
        return {"min_secrets_version": seen} if seen else {}

    # -- what is done --------------------------------------------------------------------------

    async def run(self) -> None:
        """Release command, machines of new groups, updates.

        Raises:
            Failure: the first thing that failed.
            Canceled: one group failed while others were in flight.
        """
        deploy = self.config.definition.get("deploy") or {}
        if (
            deploy.get("release_command")
            and not self.restart_only
            and not self.fly.on("skip-release-command")
        ):
            from flywizard.rehearsal.fly_release_command import run_release_command

            await run_release_command(self, str(deploy["release_command"]))
        wanted = self.config.groups()
        if self.fly.flag("process-groups"):
            named = self.fly.flag("process-groups").split(",")
            wanted = [g for g in wanted if g in named]
        have = {self.group_of(m) for m in self.machines}
        new = [] if self.restart_only or self.fly.on("update-only") else [g for g in wanted if g not in have]
        gone = [m for m in self.machines if self.group_of(m) not in self.config.groups()]
        if new or (gone and not self.restart_only):
            from flywizard.rehearsal.fly_deploy_launch import change_groups

            await change_groups(self, new, gone, first=not self.machines)
        kept = [m for m in self.machines if self.group_of(m) in wanted]
        if kept:
            from flywizard.rehearsal.fly_deploy_update import update_machines

            if self.strategy == "bluegreen" and any(mount_of(self.config, g) for g in wanted):
                raise Failure(
                    "error bluegreen deployment strategy is not supported when using mounted volumes"
                )
            await update_machines(self, kept)
