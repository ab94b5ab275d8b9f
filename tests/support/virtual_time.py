"""An event loop whose time stands still while work is to be done and jumps to the next timer when there is none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

REAL_WAIT = 5.0
"""Real seconds to wait for a socket when no timer is left."""


class _Jumping(selectors.SelectSelector):
    """Never waits: the time that a wait would have taken is added to the loop's time."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            found = super().select(REAL_WAIT)
            if not found:
                raise RuntimeError("everything waits for something that will never happen")
        if not found and timeout:
            self.loop.virtual += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at time 0."""

    def __init__(self) -> None:
        self.virtual = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.virtual


def run_virtual(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine in virtual time; gives its result."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
