"""Fly's faults and what its platform does wrong: a named stop or success, nothing twice, and done after a retry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flywizard.events import Problem
from flywizard.flyctl import commands
from tests.support.inprocess import Platform, Run, counts, deploy, normalised, play
from tests.support.inprocess_fly import run_command

New = Callable[..., Platform]

CREATING = ("app-create", "mpg-create", "machine-create", "ip-assign")
REPEATABLE = ("secrets-set", "builds", "release-create", "release-patch", "lease-release")
LOOKS = (
    "app-get", "mpg-get", "mpg-list", "mpg-extensions", "machine-get", "machine-list", "machine-wait",
    "secrets-list", "app-query", "image-get", "org-get", "ip-list", "logs",
)  # fmt: skip
AFTER = ("lost-response", "502-after-commit", "503-after-commit", "500-after-commit")
BEFORE = ("502-before", "503", "408", "409", "422", "429", "500", "hang", "reset-before")
BODY = ("truncated", "slow-body")
KINDS = (*AFTER, *BEFORE, *BODY)
NEVER = {"CRASH", "JOURNAL-1"}
"""Problems that are faults of flywizard's own."""
PASSES = {"lost-response", "502-before", "503", "429", "500", "reset-before", *BODY}
"""Faults of a look after which the same look is worth another try."""


def matrix() -> Iterator[tuple[str, str]]:
    """Every kind at what creates; elsewhere each kind at every third operation, so that all meet all in turn."""
    for operation in CREATING:
        for kind in KINDS:
            yield operation, kind
    for row, operation in enumerate((*REPEATABLE, *LOOKS)):
        for column, kind in enumerate(KINDS):
            if (row + column) % 4 == 0 and not (kind in AFTER[1:] and operation in LOOKS):
                yield operation, kind


@pytest.fixture(scope="module")
def wished() -> dict[str, Any]:
    """What stands after a run without faults; filled by the first test that makes it."""
    return {}


def reference(new_platform: New, wished: dict[str, Any]) -> dict[str, Any]:
    """Return what a run without faults leaves behind."""
    if not wished:
        platform = new_platform()

        async def scene() -> dict[str, Any]:
            run = await deploy(platform)
            assert run.outcome == "done"
            return normalised(platform.world)

        wished |= {"world": play(platform, scene), "counts": counts(platform)}
    return wished


def named(run: Run) -> list[Problem]:
    """Return the problems of a run that failed; each has a name of its own, and something to do."""
    problems = list(run.failed.values())
    assert problems or run.blocked
    for problem in problems:
        assert problem.id not in NEVER, problem
        assert problem.remedies, problem
        assert problem.what
    return problems


@pytest.mark.parametrize("operation", dict.fromkeys(o for o, _ in matrix()))
def test_an_answer_that_goes_wrong(new_platform: New, wished: dict[str, Any], operation: str) -> None:
    want = reference(new_platform, wished)
    for kind in (k for o, k in matrix() if o == operation):
        platform = new_platform()
        fault = f"{kind}@{operation}"

        async def scene(platform: Platform = platform, fault: str = fault) -> tuple[Run, dict[str, Any]]:
            first = await deploy(platform, before_run=lambda: platform.set_faults(fault))
            platform.set_faults()
            after = counts(platform)
            assert after["cluster made"] <= 1, fault
            assert after["app made"] <= 2, fault
            if first.outcome != "done":
                assert first.outcome == "failed", fault
                again = await deploy(platform, resume=True)
                assert again.outcome == "done", (fault, first.failed, again.failed)
            return first, normalised(platform.world)

        first, world = play(platform, scene)
        assert not platform.bugs, (fault, platform.bugs)
        assert any(r.fault for r in platform.world.requests) or operation == "logs", f"{fault} never struck"
        if first.outcome != "done":
            named(first)
        assert counts(platform) == want["counts"], fault
        assert world == want["world"], fault
        if operation in CREATING and kind in AFTER:
            assert first.outcome == "done", (fault, first.failed)
        if operation in LOOKS and kind in PASSES and operation not in ("image-get",):
            assert first.outcome == "done", (fault, first.failed)


@pytest.mark.parametrize("kind", ["lost-response", "502-after-commit", "502-before", "hang"])
@pytest.mark.parametrize("operation", CREATING)
def test_without_a_guard_nothing_paid_is_made_twice_by_us(
    new_platform: New, wished: dict[str, Any], operation: str, kind: str
) -> None:
    """flyctl by itself repeats a create on 502; what we count by name must be right all the same, or be named."""
    want = reference(new_platform, wished)
    platform = new_platform(guard=False)

    async def scene() -> list[Run]:
        runs = [await deploy(platform, before_run=lambda: platform.set_faults(f"{kind}@{operation}"))]
        platform.set_faults()
        if runs[0].outcome != "done":
            runs.append(await deploy(platform, resume=True))
        return runs

    runs = play(platform, scene)
    for run in runs:
        if run.outcome != "done":
            named(run)
    twice = operation == "mpg-create" and kind == "502-after-commit"
    if twice:  # flyctl itself made it twice: named, with both ids, and never a third
        assert {p.id for p in runs[-1].failed.values()} == {"PG-TWICE"}
        assert counts(platform)["cluster made"] == 2
    elif operation == "machine-create" and kind == "502-after-commit":
        assert any(p.id == "MACHINE-SPARE" for r in runs for p in r.failed.values())
    else:
        assert runs[-1].outcome == "done"
        assert {k: v for k, v in counts(platform).items() if k in ("app", "cluster", "machine")} == {
            k: v for k, v in want["counts"].items() if k in ("app", "cluster", "machine")
        }


BEHAVIOURS = {
    "crash-loop@helpdesk-api": ("release.helpdesk-api", "DEPLOY-4"),
    "crash-loop@worker": ("release.helpdesk-api", "DEPLOY-4"),
    "never-healthy@helpdesk-api": ("release.helpdesk-api", "DEPLOY-3"),
    "never-starts@worker": ("release.helpdesk-api", "DEPLOY-18"),
    "build-fails@helpdesk-api": ("build.helpdesk-api", "BUILD-STEP"),
    "build-fails@helpdesk-web": ("build.helpdesk-web", "BUILD-STEP"),
    "no-card": ("app.helpdesk-api", "APP-3"),
    "no-capacity": ("release.helpdesk-api", "DEPLOY-8"),
    "secret-dropped@OPENAI_API_KEY": ("secrets.helpdesk-api", "SECRET-LOST"),
    "wrong-page@helpdesk-web": ("check.helpdesk-web", "BUILD-6"),
    "sso": ("app.helpdesk-api", "AUTH-5"),
    "token-expired": ("app.helpdesk-api", "AUTH-10"),
}


@pytest.mark.parametrize("fault", BEHAVIOURS)
def test_what_the_platform_does_wrong_is_named(new_platform: New, wished: dict[str, Any], fault: str) -> None:
    want = reference(new_platform, wished)
    platform = new_platform()
    step, problem = BEHAVIOURS[fault]

    async def scene() -> tuple[Run, dict[str, Any]]:
        run = await deploy(platform, before_run=lambda: platform.set_faults(fault))
        assert run.outcome == "failed"
        platform.set_faults()
        again = await deploy(platform, resume=True)
        assert again.outcome in ("done", "nothing-to-do"), again.failed
        return run, normalised(platform.world)

    run, world = play(platform, scene)
    named(run)
    assert run.failed[step].id == problem
    assert not platform.bugs
    assert counts(platform) == want["counts"]
    assert world == want["world"]


def test_a_crash_shows_the_last_lines_of_the_log(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> Run:
        return await deploy(platform, before_run=lambda: platform.set_faults("crash-loop@worker"))

    problem = play(platform, scene).failed["release.helpdesk-api"]
    assert any("ModuleNotFoundError" in line for line in problem.log)


def test_another_name_after_one_that_is_taken(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> tuple[Run, Run]:
        run = await deploy(platform, before_run=lambda: platform.set_faults("name-taken@helpdesk-api"))
        again = await deploy(platform, {"api.app": "helpdesk-service"})
        return run, again

    run, again = play(platform, scene)
    problem = run.failed["app.helpdesk-api"]
    assert problem.id == "APP-1"
    assert any(r.action.startswith("edit:") for r in problem.remedies)
    assert again.outcome == "done", again.failed
    assert sorted(platform.world.apps) == ["helpdesk-service", "helpdesk-web"]
    assert platform.world.count("cluster") == 1


def test_a_name_that_is_taken_is_seen_in_the_review(new_platform: New) -> None:
    platform = new_platform()
    platform.set_faults("name-taken@helpdesk-api")

    async def scene() -> Run:
        return await deploy(platform)

    run = play(platform, scene)
    assert "is taken" in run.blocked
    assert platform.changing() == []


def test_a_database_that_failed_is_removed_by_the_user_and_made_again(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> tuple[Run, Run]:
        run = await deploy(platform, before_run=lambda: platform.set_faults("mpg-error"))
        platform.set_faults()
        cluster = next(iter(platform.world.clusters))
        ended = await run_command(
            platform, commands.mpg_destroy(cluster), None, lambda *_: None, lambda: None
        )
        assert ended.code == 0
        return run, await deploy(platform, resume=True)

    run, again = play(platform, scene)
    problem = run.failed["database"]
    assert problem.id == "PG-FAILED"
    assert any("fly mpg destroy" in (r.command or "") for r in problem.remedies)
    assert again.outcome == "done", again.failed
    assert platform.world.count("cluster") == 1


def test_a_release_command_that_fails(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> tuple[Run, Run]:
        first = await deploy(platform)
        assert first.outcome == "done"
        spec = platform.root / "flywizard.toml"
        text = spec.read_text().replace(
            'health = "/health"', 'health = "/health"\nrelease_command = "python -m src.check"'
        )
        spec.write_text(text)
        run = await deploy(platform, before_run=lambda: platform.set_faults("release-command-fails"))
        platform.set_faults()
        return run, await deploy(platform, resume=True)

    run, again = play(platform, scene)
    assert run.outcome == "failed"
    problem = named(run)[0]
    assert problem.id == "DEPLOY-5"
    assert any("alembic" in line for line in problem.log)
    assert again.outcome == "done", again.failed
    assert platform.world.count("machine") == 3


@pytest.mark.parametrize("fault", ["mpg-slow", "rate-limits", "logs-refused", "app-hidden@helpdesk-api"])
def test_what_only_takes_longer_ends_done(new_platform: New, wished: dict[str, Any], fault: str) -> None:
    want = reference(new_platform, wished)
    platform = new_platform()

    async def scene() -> tuple[Run, dict[str, Any]]:
        run = await deploy(platform, before_run=lambda: platform.set_faults(fault))
        return run, normalised(platform.world)

    run, world = play(platform, scene)
    assert run.outcome == "done", run.failed
    assert world == want["world"]
