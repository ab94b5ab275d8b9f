"""Owns what the steps share: running a command and naming its failure, facts, credentials."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard import problems
from flywizard.events import Problem, Remedy
from flywizard.flyctl import commands, decode
from flywizard.flyctl.verdict import Verdict, reading
from flywizard.plan import Command, StepError
from flywizard.ports import Context, Ended, LookError, OnOutput
from flywizard.text import duration
from flywizard.vault import Secret

LOOK_AGAIN = (1.0, 3.0)
"""Seconds before a look is repeated."""
PASSING = frozenset({"API-LOST", "API-LIMIT", "API-TROUBLE", "FLYCTL-HANGS"})
"""Failures after which the same look may well succeed."""
STOPPED = Problem("STOPPED", "It was stopped", "You asked for it, or flywizard was told to end.")


async def run(
    ctx: Context,
    command: Command,
    stage: str,
    *,
    stdin: bytes | None = None,
    quiet: bool = False,
    on_output: OnOutput | None = None,
    facts: Mapping[str, str] | None = None,
) -> tuple[Ended, Verdict]:
    """Run a command; return how it ended when it is done or in doubt.

    Raises:
        StepError: it failed, crashed or was stopped; the problem is named by the rules of ``stage``.
    """
    try:
        ended = await ctx.run(command, stdin=stdin, quiet=quiet, on_output=on_output)
    except FileNotFoundError:
        raise StepError(problems.problem("FLYCTL-MISSING")) from None
    verdict = reading(ended, changes=command.changes)
    if verdict.kind == "cancelled" or (ended.signalled and verdict.kind != "done"):
        raise StepError(STOPPED)
    if verdict.kind in ("failed", "crashed"):
        raise StepError(diagnose(ended, verdict, command, stage, facts))
    return ended, verdict


def diagnose(
    ended: Ended, verdict: Verdict, command: Command, stage: str, facts: Mapping[str, str] | None = None
) -> Problem:
    """Name the failure of a command."""
    if ended.timed_out:
        return hangs(command)
    text = "\n".join(filter(None, (ended.stdout[-20000:], ended.stderr[-20000:], verdict.text)))
    if command.private:
        text = verdict.text
    return problems.diagnose(
        stage, text, exit_code=ended.code, facts={"command": command.shown(), **(facts or {})}
    )


def hangs(command: Command) -> Problem:
    """Name a command that was stopped because it did not end."""
    return Problem(
        "FLYCTL-HANGS",
        f"`{command.shown()}` did not end within {duration(command.timeout)}",
        "Fly's API or the network is slow, or flyctl hangs.",
        (
            Remedy("retry", "Look again, and go on from what is there"),
            Remedy("quit", "Stop here and resume later", "flywizard resume"),
        ),
    )


async def look(ctx: Context, command: Command, stage: str, facts: Mapping[str, str] | None = None) -> str:
    """Run a command that only looks; return its standard output, which may hold secrets.

    It changes nothing, so it is run again after a failure of the passing kind; flyctl by itself gives up at
    the first 429, 500 or lost answer.

    Raises:
        StepError: it failed or did not answer in time.
    """
    for wait in (*LOOK_AGAIN, None):
        ended, verdict = await _looked(ctx, command)
        if verdict.kind == "done":
            return ended.stdout
        problem = diagnose(ended, verdict, command, stage, facts)
        if problem.id not in PASSING or wait is None:
            raise StepError(problem)
        ctx.report.waiting(f"{problem.what}; looking again")
        await ctx.ports.clock.sleep(wait)
    raise AssertionError("the last look returns or raises")


async def _looked(ctx: Context, command: Command) -> tuple[Ended, Verdict]:
    try:
        ended = await ctx.run(command, quiet=True)
    except FileNotFoundError:
        raise StepError(problems.problem("FLYCTL-MISSING")) from None
    verdict = reading(ended, changes=False)
    if verdict.kind == "cancelled" or (ended.signalled and verdict.kind != "done"):
        raise StepError(STOPPED)
    return ended, verdict


def look_problem(error: LookError, what: str) -> Problem:
    """Name a failed look over HTTP."""
    return problems.diagnose("look", error.text, facts={"command": what, "status": str(error.status)})


def doubt(what: str, why: str) -> StepError:
    """Return the error of a change whose fate is not known."""
    return StepError(problems.problem("DOUBT", what=what, why=why))


async def credentials(ctx: Context, cluster: str) -> decode.ClusterStatus:
    """Return a cluster's state with its credentials; kept for this process once it is ready.

    Raises:
        StepError: the look failed, or flyctl printed something else.
    """
    text = await look(ctx, commands.mpg_status(cluster), "database", {"cluster": cluster})
    try:
        return decode.cluster_status(text)
    except decode.DecodeError as error:
        raise StepError(problems.problem("DECODE", command="fly mpg status", why=str(error))) from None


async def database_urls(ctx: Context, cluster: str) -> tuple[Secret, Secret]:
    """Return (pooled, direct) URLs of a managed cluster, as Fly gives them."""
    from flywizard import dsn

    pooled = ctx.secrets.get("database/pooled")
    if pooled is None:
        status = await credentials(ctx, cluster)
        if not status.credentials.ready:
            raise StepError(problems.problem("PG-11", cluster=cluster))
        pooled = status.credentials.pooled_url
        ctx.secrets["database/pooled"] = pooled
        ctx.secrets["database/password"] = status.credentials.password
    return pooled, dsn.direct_url(pooled)
