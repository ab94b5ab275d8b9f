"""Owns following an app's log while a step works on it; a reader of logs never fails a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flywizard.ports import Context, LookError
from flywizard.steps.target import AppTarget

POLL = 2.0
"""Seconds between looks: far below Fly's limits, and flyctl needs them for itself during a deploy."""
SEEN = 2000


class LogFollower:
    """Polls one app's log and reports each line once, under the name of its service."""

    def __init__(self, ctx: Context, app: AppTarget) -> None:
        self._ctx, self._app = ctx, app.name
        self._services = {g.name: g.service for g in app.groups}
        self._token = ""
        self._seen: dict[str, None] = {}
        self._groups: dict[str, str] = {}
        self.lines: list[str] = []
        """The last lines, for a problem's report."""

    async def poll(self) -> None:
        """Look once."""
        try:
            lines, token = await self._ctx.ports.look.logs(self._app, self._token)
            if any(line.instance not in self._groups for line in lines):
                for machine in await self._ctx.ports.look.machines(self._app):
                    self._groups[machine.id] = machine.group
        except LookError:
            return
        self._token = token or self._token
        for line in lines:
            if line.id in self._seen:
                continue
            self._seen[line.id] = None
            group = self._groups.setdefault(line.instance, "")
            self._ctx.report.output("log", line.text, self._services.get(group, group) or self._app)
            self.lines.append(line.text)
        del self.lines[:-40]
        for old in list(self._seen)[: max(0, len(self._seen) - SEEN)]:
            del self._seen[old]

    async def follow(self) -> None:
        """Look until cancelled."""
        while True:
            await self.poll()
            await self._ctx.ports.clock.sleep(POLL)


@asynccontextmanager
async def following(ctx: Context, app: AppTarget) -> AsyncIterator[LogFollower]:
    """Follow an app's log for as long as the block runs."""
    follower = LogFollower(ctx, app)
    task = asyncio.create_task(follower.follow(), name=f"logs of {app.name}")
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
