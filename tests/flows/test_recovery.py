"""Getting over what stops a run half-way: a full disk, a step of several commands, a rotation whose answer is lost."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from flywizard.flyctl import commands
from flywizard.fronts import Refused
from flywizard.journal import JournalError
from flywizard.vault import Secret
from tests.support.inprocess import Killed, Platform, Run, counts, deploy, normalised, play
from tests.support.inprocess_fly import run_command

New = Callable[..., Platform]


def last_record(platform: Platform) -> dict[str, Any]:
    """Return the newest record of the journal."""
    record = json.loads(platform.journal.read_text().splitlines()[-1])
    assert isinstance(record, dict)
    return record


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_a_full_disk_at_any_record_stops_by_name_and_is_resumed(new_platform: New, first: int) -> None:
    calm = new_platform()

    async def undisturbed() -> dict[str, Any]:
        assert (await deploy(calm)).outcome == "done"
        return normalised(calm.world)

    world = play(calm, undisturbed)
    wrong: list[str] = []
    for number in range(2 + first, calm.appends, 8):
        platform = new_platform()

        def full(at: int, after: bool, number: int = number, platform: Platform = platform) -> None:
            if at >= number and not after:
                raise JournalError(errno.ENOSPC, "No space left on device", platform.journal)

        platform.on_append = full

        async def scene(platform: Platform = platform) -> list[str]:
            try:
                run = await deploy(platform)
            except (JournalError, Refused):  # the run's own first or last record; the command names it
                pass
            else:
                if {p.id for p in run.failed.values()} != {"JOURNAL-1"}:
                    return [f"{run.outcome} {run.failed}"]
            sent = len(platform.changing())
            platform.on_append = lambda number, after: None
            again = await deploy(platform, resume=platform.journal_state().resumable)
            if again.outcome not in ("done", "nothing-to-do"):
                return [f"again: {again.outcome} {again.failed} after {sent} changes"]
            return [k for k, v in normalised(platform.world).items() if v != world[k]]

        wrong += [f"record {number}: {text}" for text in play(platform, scene)]
        if counts(platform) != counts(calm):
            wrong.append(f"record {number}: {counts(platform)}")
    assert not wrong, "\n".join(wrong)


def test_a_step_of_two_commands_is_followed_to_the_end_of_both(new_platform: New) -> None:
    """The release's own allocation fails with exit 0; the step asks for both addresses, and dies in the second."""
    platform = new_platform()
    begun: list[str] = []

    def strike(number: int, after: bool) -> None:
        if not after:
            return
        record = last_record(platform)
        if record["kind"] == "started" and record["step"] == "address.helpdesk-api":
            begun.append(str(record["attempt"]))
            if len(begun) == 2:
                platform.kill()
                raise Killed

    platform.on_append = strike

    async def scene() -> Run:
        await deploy(platform, before_run=lambda: platform.set_faults("422@ip-assign*2"))
        platform.on_append = lambda number, after: None
        return await deploy(platform, resume=True)

    run = play(platform, scene)
    assert len(begun) == 2
    assert len(set(platform.attempts)) > len({a.partition(".")[0] for a in platform.attempts})
    assert run.outcome == "done", run.failed
    types = sorted(a["type"] for a in platform.world.apps["helpdesk-api"].addresses)
    assert types == ["shared_v4", "v6"]


@pytest.mark.parametrize("kind", ["408", "500", "lost-response", "500-after-commit"])
def test_a_rotation_whose_answer_is_lost_is_not_taken_for_done(new_platform: New, kind: str) -> None:
    platform = new_platform()
    new = "sk-proj-aNewKeyOfTheDesk42"

    async def scene() -> tuple[Run, Run]:
        assert (await deploy(platform)).outcome == "done"
        given = {"OPENAI_API_KEY": Secret(new)}
        first = await deploy(
            platform, secrets=given, before_run=lambda: platform.set_faults(f"{kind}@secrets-set*9")
        )
        platform.set_faults()
        return first, await deploy(platform)

    first, second = play(platform, scene)
    assert first.outcome == "failed"
    assert set(first.failed) == {"secrets.helpdesk-api"}
    assert second.outcome == "done", second.failed
    app = platform.world.apps["helpdesk-api"]
    assert app.secrets["OPENAI_API_KEY"]["digest"] == platform.world.digest(new)
    running = [m for m in platform.world.machines.values() if m.app == "helpdesk-api"]
    assert {m.secrets_version for m in running} == {app.secrets_version}


def test_machines_that_a_crash_left_down_are_up_after_a_retry(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> Run:
        await deploy(platform, before_run=lambda: platform.set_faults("crash-loop@helpdesk-api"))
        platform.set_faults()
        return await deploy(platform, resume=True)

    assert play(platform, scene).outcome == "done"
    starts = [r.path for r in platform.world.requests if r.path.endswith("/start") and r.committed]
    assert len(starts) == 1


def test_what_was_removed_by_hand_is_made_anew_from_the_ground(new_platform: New) -> None:
    """A new app has no images, a new cluster no tables, whatever the journal says of the old ones."""
    platform = new_platform()

    async def scene() -> tuple[Run, list[str]]:
        assert (await deploy(platform)).outcome == "done"
        old = next(iter(platform.world.clusters))
        for command in (commands.apps_destroy("helpdesk-api"), commands.mpg_destroy(old)):
            ended = await run_command(platform, command, None, lambda *_: None, lambda: None)
            assert ended.code == 0, ended.stderr
        run = await deploy(platform)
        return run, [c for c in platform.world.clusters if c != old]

    run, new = play(platform, scene)
    assert run.outcome == "done", run.failed
    assert len(new) == 1
    assert platform.databases[new[0]].applied == 1
    assert platform.world.count("machine", "helpdesk-api") == 2
    assert platform.world.count("image", "helpdesk-api") == 1


def test_a_second_wizard_adopts_what_stands_without_the_journal(new_platform: New) -> None:
    """Another machine, or a lost state folder: everything is found by looking, nothing is made again."""
    platform = new_platform()

    async def scene() -> Run:
        assert (await deploy(platform)).outcome == "done"
        shutil.rmtree(platform.home / "state")
        platform.world.requests.clear()
        return await deploy(platform)

    run = play(platform, scene)
    assert run.outcome in ("done", "nothing-to-do"), run.failed
    made = counts(platform)
    assert (made["app made"], made["cluster made"], made["machine made"], made["schema applied"]) == (
        2,
        1,
        3,
        1,
    )
    assert not [r.path for r in platform.world.requests if r.mutating and r.operation == "build"]
