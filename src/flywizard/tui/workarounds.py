"""Owns every use of Textual's private names: the crash path without local variables, the default screen's replacement.

Textual 8.2.8 prints the local variables of each frame when an app crashes; a token held by one would
be shown. ``_fatal_error`` and ``_exception`` are private, so a test watches that this still bites.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from textual.app import App
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


class QuietCrash(App[Result]):
    """An app whose crash report holds no local variable and passes through ``on_crash`` first."""

    on_crash: Callable[[str], str]
    """Takes the report, keeps it somewhere, returns the redacted text to print."""

    def _fatal_error(self) -> None:
        """Leave after an unhandled exception; replaces Textual's, which shows locals."""
        error = self._exception
        report = describe(error) if error is not None else "flywizard stopped without a reason\n"
        from rich.text import Text

        self._exit_renderables.append(Text(self.on_crash(report)))
        self._close_messages_no_wait()
