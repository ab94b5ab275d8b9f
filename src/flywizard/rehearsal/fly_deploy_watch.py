"""Watching one machine in a deploy: start, smoke check, health, and what it listens on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flywizard.rehearsal.fly_core import Cut, Failure, Json, StatusFailure
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_logs import page
from flywizard.rehearsal.fly_machine import has_checks, machine_path, passing

SMOKE = 10.0
SMOKE_PAUSE = 0.5
HEALTH_PAUSE = 1.0
NEVER_STARTED = (
    "Your machine was created, but never started or exited immediately. This could mean that your app is taking a"
    " long time to start,\nbut it could be indicative of a region issue.\n\n"
    "Alternatively, your app may have exited immediately due to a startup failure. Check your Dockerfile\n"
    "to ensure it specifies a valid start command (e.g., check that your 'CMD' or 'ENTRYPOINT' is correct).\n"
    "You can also try running 'fly logs' to see what happened when the machine tried to start.\n\n"
    "You can try deploying to a different region,\n"
    "or you can try increasing the timeout with the --wait-timeout flag"
)


def crashing(machine: Json) -> bool:
    """Whether the machine restarts over and over, as its newest exit tells."""
    for event in machine.get("events") or []:
        if event.get("type") != "exit":
            continue
        request = event.get("request") or {}
        end = request.get("exit_event") or {}
        return (
            bool(end.get("exit_code") and end.get("restarting") and not end.get("requested_stop"))
            and int(request.get("restart_count") or 0) > 1
        )
    return False


def uptime(machine: Json, now: float) -> float:
    """Seconds since the newest start, if it is newer than the launch; else 0."""
    for event in machine.get("events") or []:
        if event.get("type") == "start":
            return now - float(event.get("timestamp") or 0) / 1000
        if event.get("type") == "launch":
            break
    return 0.0


def monitoring(rollout: Rollout, machine: str) -> str:
    """Where to look, as flyctl words it."""
    return (
        f"Use `fly logs -i {machine}` or open the monitoring dashboard to see them:"
        f" https://fly.io/apps/{rollout.name}/monitoring?region=&instance={machine}"
    )


async def smoke_check(
    rollout: Rollout, machine: str, others_failed: Callable[[], bool] = lambda: False
) -> None:
    """Waits until the machine has been up for ten seconds, or ten seconds have passed.

    Raises:
        Failure: it crashes, or it cannot be asked (a 429 is enough).
    """
    fly = rollout.fly
    begun = fly.transport.now()
    try:
        while True:
            try:
                found = await fly.flaps(
                    "GET", machine_path(rollout.name, machine), what=f"failed to get VM {machine}"
                )
            except Failure as failure:
                why = failure.wrapped(
                    f"smoke checks for {machine} failed: error getting machine {machine} from api: "
                )
                why.more = await _last_lines(rollout, machine, "", why.text, others_failed())
                raise why from None
            if crashing(found):
                text = f"smoke checks for {machine} failed: the app appears to be crashing"
                since = str(found.get("updated_at") or "")
                more = await _last_lines(rollout, machine, since, text, others_failed())
                raise Failure(text, more=more)
            if uptime(found, fly.transport.time()) > SMOKE or fly.transport.now() - begun >= SMOKE:
                return
            await fly.transport.sleep(SMOKE_PAUSE)
    except asyncio.CancelledError:
        if not fly.transport.interrupted:
            fly.eprint(_no_logs(rollout, machine))
        raise


def _no_logs(rollout: Rollout, machine: str) -> str:
    return f"Warn: got an error retrieving the logs so we can't show you what failed. {monitoring(rollout, machine)}"


async def _last_lines(rollout: Rollout, machine: str, since: str, text: str, late: bool) -> str:
    """The paragraphs after a smoke check's `Error:` line, with the machine's last messages."""
    fly = rollout.fly
    told = f"{text[0].upper()}{text[1:]}\nCheck its logs: here's the last lines below, or run 'fly logs -i {machine}':\n"
    if late:
        fly.eprint(_no_logs(rollout, machine))
        return told
    try:
        status, body = await page(fly, rollout.name, "", instance=machine, region=rollout.region())
    except Failure:
        fly.eprint(_no_logs(rollout, machine))
        return told
    if status == 401:
        fly.eprint(
            "Warn: not authorized to retrieve app logs (this can happen when using deploy tokens), so we can't show"
            f" you what failed. {monitoring(rollout, machine)}"
        )
        return told + "<not authorized to retrieve logs>"
    lines = [e.get("attributes") or {} for e in body.get("data") or []]
    return told + "".join(f"{a.get('message')}\n" for a in lines if str(a.get("timestamp") or "") >= since)


async def wait_state(rollout: Rollout, machine: str, state: str, patience: float) -> None:
    """Waits for a state; 408 and other failures are tried again until the patience is at an end.

    Raises:
        Failure: the state never came.
    """
    fly = rollout.fly
    begun = fly.transport.now()
    seconds = int(max(1, min(60.0, patience)))
    path = f"{machine_path(rollout.name, machine)}/wait?state={state}&timeout={seconds}"
    pause = 0.5
    while True:
        try:
            await fly.flaps("GET", path)
        except asyncio.CancelledError:
            if fly.transport.interrupted:
                url = fly.transport.url("flaps", path)
                text = f'failed to wait for VM {machine} in [{state}] state: Get "{url}": {fly.transport.interrupted}'
                raise Interrupted(text) from None
            raise
        except Failure as failure:
            if state == "destroyed" and isinstance(failure, StatusFailure) and failure.status == 404:
                return
            if fly.transport.now() - begun >= patience:
                raise Failure(
                    "timeout reached waiting for machine's state to change", more=NEVER_STARTED
                ) from None
            await fly.transport.sleep(pause)
        else:
            return


class Interrupted(asyncio.CancelledError):
    """A signal came in the middle of a request; `text` is what Go would say about it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


async def wait_healthy(rollout: Rollout, machine: str, say: Callable[[str], None]) -> None:
    """Waits until every health check passes; `say` hears `good/total` whenever it changes.

    Raises:
        Failure: they did not pass in time (the text does not say which, nor why).
    """
    fly = rollout.fly
    begun = fly.transport.now()
    path = machine_path(rollout.name, machine)
    told = ""
    while True:
        try:
            found = await fly.flaps("GET", path, what=f"failed to get VM {machine}")
            good, total = passing(found)
            if told != (told := f"{good}/{total}"):
                say(told)
            if total and good == total:
                return
            left = rollout.wait - (fly.transport.now() - begun)
            if left <= HEALTH_PAUSE:
                await fly.transport.sleep(max(0.0, left))
                url = fly.transport.url("flaps", path)
                raise Failure(
                    f"timeout reached waiting for health checks to pass for machine {machine}: failed to get VM"
                    f' {machine}: Get "{url}": net/http: request canceled'
                )
            await fly.transport.sleep(HEALTH_PAUSE)
        except asyncio.CancelledError:
            if not fly.transport.interrupted:
                raise
            url = fly.transport.url("flaps", path)
            raise Interrupted(
                f'failed to get VM {machine}: Get "{url}": {fly.transport.interrupted}'
            ) from None


def needs_health(rollout: Rollout, config: Json) -> bool:
    """Whether a machine's health is to be waited for."""
    return rollout.health and has_checks(config)


async def check_listening(rollout: Rollout, machine: str, config: Json) -> None:
    """Warns when nothing listens where the service expects it; a failure of the question is no matter."""
    services = config.get("services") or []
    group = (config.get("metadata") or {}).get("fly_process_group", "")
    if not services or group in rollout.listened:
        return
    rollout.listened.add(group)
    fly = rollout.fly
    try:
        answer = await fly.send("flaps", "GET", f"{machine_path(rollout.name, machine)}/ps")
    except Cut:
        return
    processes = answer.json() if answer.status == 200 else None
    if not processes:
        return
    found = {
        s["address"] for p in processes for s in p.get("listen_sockets") or [] if s.get("proto") == "tcp"
    }
    ports = {str(a).rpartition(":")[2] for a in found if not str(a).startswith(("127.", "[::1]"))}
    missing = [s["internal_port"] for s in services if str(s.get("internal_port")) not in ports]
    if not missing:
        return
    fly.eprint(
        "\nWARNING The app is not listening on the expected address and will not be reachable by fly-proxy.\n"
        "You can fix this by configuring your app to listen on the following addresses:\n"
        + "".join(f"  - 0.0.0.0:{port}\n" for port in missing)
        + "Found these processes inside the machine with open listening sockets:\n"
        + "".join(
            f"  {p.get('command')} | {s['address']}\n"
            for p in processes
            for s in p.get("listen_sockets") or []
        )
    )
