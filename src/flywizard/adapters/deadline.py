"""Owns calls that may never come back: each in a daemon thread of its own, abandoned after its limit.

``asyncio.to_thread`` will not do: the loop waits for its threads at the end, however long they hang.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, function: Callable[[], T]) -> T:
    """Run ``function`` in a daemon thread and return what it returns.

    Raises:
        TimeoutError: it did not come back in time; its thread is left behind.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((function(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True, name="flywizard-deadline").start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is what the function returned


async def off_loop(seconds: float, function: Callable[[], T]) -> T:
    """Do the same without stopping the event loop.

    Raises:
        TimeoutError: it did not come back in time; its thread is left behind.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def deliver(value: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(value)  # type: ignore[arg-type]
        else:
            answer.set_exception(error)

    def run() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = function()
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(deliver, value, failure)
            except RuntimeError:
                return  # the loop closed in between; nobody waits any more

    threading.Thread(target=run, daemon=True, name="flywizard-deadline").start()
    async with asyncio.timeout(seconds):
        return await answer
