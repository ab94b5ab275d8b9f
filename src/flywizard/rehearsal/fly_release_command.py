"""The release command of a deploy: its machine, its life, its logs. A signal or a time-out leaves it running."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from flywizard.rehearsal.fly_core import Failure, Json
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_deploy_watch import Interrupted, wait_state
from flywizard.rehearsal.fly_logs import page
from flywizard.rehearsal.fly_machine import machine_path
from flywizard.rehearsal.fly_machine_config import release_command_config

LOG_PATIENCE = 20.0
LOG_PAUSE = 0.128
ABORTED = "release command failed - aborting deployment. "
WIREGUARD = "mutation($input: ValidateWireGuardPeersInput!) { validateWireGuardPeers(input: $input) { invalidPeerIps } }"


class _Logs:
    """Follows the machine's log from its start; printed only when the command fails."""

    def __init__(self, rollout: Rollout, machine: str) -> None:
        self.rollout = rollout
        self.machine = machine
        self.lines: list[Json] = []
        self.ended = asyncio.Event()

    async def follow(self) -> None:
        """Reads until the main child's end is told."""
        fly = self.rollout.fly
        with suppress(Failure):
            await fly.flaps("GET", f"/v1/apps/{self.rollout.name}")
            slug = (self.rollout.app.get("organization") or {}).get("slug", "")
            await fly.uiex("GET", f"/organizations/{slug}", what="get organization")
            await fly.gql(WIREGUARD, {"input": {"peerIps": []}})
        token = ""
        while True:
            try:
                status, body = await page(fly, self.rollout.name, token, instance=self.machine)
            except Failure:
                status, body = 0, {}
            if status in (401, 404):
                return
            for entry in body.get("data") or []:
                attributes = entry.get("attributes") or {}
                self.lines.append(attributes)
                if "Main child exited normally" in str(attributes.get("message")):
                    self.ended.set()
                    return
            token = (body.get("meta") or {}).get("next_token") or token
            await fly.transport.sleep(LOG_PAUSE)

    async def wait_end(self) -> bool:
        """Waits for the log's end, for at most 20 s; tells whether it came."""
        begun = self.rollout.fly.transport.now()
        while not self.ended.is_set():
            if self.rollout.fly.transport.now() - begun > LOG_PATIENCE:
                return False
            await self.rollout.fly.transport.sleep(LOG_PAUSE)
        return True


async def run_release_command(rollout: Rollout, command: str) -> None:
    """Runs the release command in a machine of its own.

    Raises:
        Failure: it could not be run, ended badly, or took too long.
    """
    fly, name = rollout.fly, rollout.name
    fly.eprint(f"Running {name} release_command: {command}")
    like = next(((m.get("config") or {}).get("guest") for m in rollout.machines), None)
    body = {
        "config": release_command_config(rollout.config, rollout.image, rollout.release, like),
        "region": rollout.region(),
        "skip_launch": True,
        "skip_secrets": False,
        **rollout.secrets_version(),
    }
    machine = await fly.flaps(
        "POST",
        f"/v1/apps/{name}/machines",
        body,
        what=ABORTED + "error creating a release_command machine: failed to launch VM",
    )
    machine_id = str(machine["id"])
    logs = _Logs(rollout, machine_id)
    following = asyncio.ensure_future(logs.follow())
    try:
        await _live(rollout, machine_id, logs)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _live(rollout: Rollout, machine_id: str, logs: _Logs) -> None:
    fly, path = rollout.fly, machine_path(rollout.name, machine_id)
    fly.print(f"> Created release_command machine {machine_id}")
    try:
        fly.print(f"> Waiting for {machine_id} to have state: stopped")
        await wait_state(rollout, machine_id, "stopped", rollout.wait)
        fly.print(f"> Machine {machine_id} has state: stopped")
        fly.eprint("Starting machine")
        await fly.flaps("POST", f"{path}/start", what=f"{ABORTED}error starting release_command machine")
        for _ in range(2):
            fly.print(f"> Waiting for {machine_id} to have state: started")
        await wait_state(rollout, machine_id, "started", rollout.wait)
        fly.print(f"> Machine {machine_id} has state: started")
        fly.print(f"> Waiting for {machine_id} to have state: destroyed")
        await wait_state(rollout, machine_id, "destroyed", rollout.release_timeout)
    except Interrupted as stopped:
        fly.print(
            f"✖ Failed: error waiting for release_command machine {machine_id} to finish running: {stopped.text}"
        )
        raise
    except Failure as failure:
        text = f"error waiting for release_command machine {machine_id} to finish running: {failure.text}"
        fly.print(f"✖ Failed: {text}")
        raise Failure(
            ABORTED + text,
            more='Your machine never reached the state "destroyed".\n\nYou can try increasing the timeout with the'
            " --release-command-timeout flag",
        ) from None
    fly.print(f"> Machine {machine_id} has state: destroyed")
    fly.print(f"> Waiting for {machine_id} to get exit event")
    code = await _exit_code(rollout, path)
    if code == 0:
        fly.print(f"✔ release_command {machine_id} completed successfully")
        return
    fly.print("✖ release_command failed")
    fly.eprint(f"Error release_command failed running on machine {machine_id} with exit code {code}.")
    fly.eprint("Checking logs: fetching the last 100 lines below:")
    ended = await logs.wait_end()
    for line in logs.lines[-100:]:
        fly.eprint(f"\x1b[2m{line.get('timestamp')}\x1b[0m {line.get('message')}")
    if not ended:
        fly.eprint("timeout waiting for release command logs")
    text = f"machine {machine_id} exited with non-zero status of {code}"
    fly.print(f"✖ Failed: {text}")
    raise Failure(ABORTED + text)


async def _exit_code(rollout: Rollout, path: str) -> int:
    """The command's exit code, out of the machine's newest exit event."""
    fly = rollout.fly
    begun = fly.transport.now()
    while True:
        machine = await fly.flaps("GET", path, what=ABORTED + "failed to get VM")
        for event in machine.get("events") or []:
            if event.get("type") == "exit":
                request = event.get("request") or {}
                end = request.get("exit_event") or (request.get("MonitorEvent") or {}).get("exit_event") or {}
                return int(end.get("exit_code") or 0)
        if fly.transport.now() - begun > 60:
            raise Failure(ABORTED + "error finding the release_command machine exit event")
        await fly.transport.sleep(1.0)
