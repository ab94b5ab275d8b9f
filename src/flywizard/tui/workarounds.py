"""Owns every use of Textual's private names: the crash path, the default screen's replacement, a terminal that is gone.

Textual 8.2.8 prints the local variables of each frame when an app crashes; a token held by one would
be shown. ``_fatal_error`` and ``_exception`` are private, so a test watches that this still bites.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from typing import TextIO, TypeVar

from textual.app import App
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import WorkerFailed

Result = TypeVar("Result")


def replaceable(screen: Screen[None]) -> Screen[None]:
    """Return a default screen that ``switch_screen`` can replace.

    Textual gives a screen that was pushed a result callback and pops it on a switch; the default screen
    has none, so the first switch away from it raises IndexError.
    """
    screen._push_result_callback(screen, None)
    return screen


def describe(error: BaseException) -> str:
    """Return the traceback as text: frames and source lines, never a value of a variable."""
    if isinstance(error, WorkerFailed):
        error = error.error
    return "".join(traceback.format_exception(error))


class Forgiving:
    """A terminal's output that drops what a terminal that is gone can't take.

    Textual 8.2.8 writes in a thread, from a queue of 30. A failed write ends the thread, and the next writes wait
    for room in the queue for ever: with them the loop, its signals and the way out.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what was waiting."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """Return the terminal's file number."""
        return self._file.fileno()


def forgiving(driver: type[Driver]) -> type[Driver]:
    """Return a driver whose writes never fail."""

    class Steady(driver):  # type: ignore[misc, valid-type]
        def start_application_mode(self) -> None:
            held = self.__dict__
            if "_file" in held:
                held["_file"] = Forgiving(held["_file"])
            super().start_application_mode()

    return Steady


class QuietCrash(App[Result]):
    """An app whose crash report holds no local variable and passes through ``on_crash`` first."""

    on_crash: Callable[[str], str]
    """Takes the report, keeps it somewhere, returns the redacted text to print."""

    def get_driver_class(self) -> type[Driver]:
        """Return the platform's driver, made to outlive its terminal."""
        return forgiving(super().get_driver_class())

    def _fatal_error(self) -> None:
        """Leave after an unhandled exception; replaces Textual's, which shows locals."""
        error = self._exception
        report = describe(error) if error is not None else "flywizard stopped without a reason\n"
        from rich.text import Text

        self._exit_renderables.append(Text(self.on_crash(report)))
        self._close_messages_no_wait()
