"""Owns the end of the terminal: whether it is still there, and what stays on its normal screen afterwards."""

from __future__ import annotations

import os
import sys

from flywizard.fronts import Wizard
from flywizard.tui.look import line
from flywizard.tui.state import RunState


def terminal_stands() -> bool:
    """Tell whether the program's input is a terminal that somebody holds; one that was closed is none."""
    try:
        return os.isatty(sys.__stdin__.fileno()) if sys.__stdin__ is not None else False
    except (OSError, ValueError):
        return False


def let_go_of_lost_streams() -> None:
    """Point streams of a terminal that is gone at nothing: a failed flush at exit would replace the exit code by 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def say_goodbye(state: RunState, wizard: Wizard, code: int) -> None:
    """Write the summary of a finished run to stdout, or how to go on after a stopped one to stderr."""
    if code == 0 and state.outcome in ("done", "nothing-to-do"):
        sys.stdout.write("\n".join(line(text) for text in wizard.summary().lines()) + "\n")
        sys.stdout.flush()
    elif state.started is not None and code != 0:
        lines = [f"stopped: {line(state.problem.what)}"] if state.problem else ["stopped before the end"]
        lines += [
            "",
            f"hint: go on with `{wizard.header().resume}`",
            f"hint: the full log is `{wizard.log_path()}`",
        ]
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
