"""Owns the options of each command, made from the questions; every answer has a flag and a variable."""

from __future__ import annotations

import argparse

from flywizard.answers import QUESTIONS

ANSWERING = ("", "rehearse", "plan", "apply", "resume")
"""Commands that take answers."""


def parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of one command (empty: the wizard itself)."""
    made = argparse.ArgumentParser(
        prog=f"flywizard {command}".strip(),
        description=_DESCRIPTIONS[command],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=None if command not in ANSWERING else _EPILOG,
    )
    made.add_argument("-C", dest="directory", metavar="DIR", help="the repository (default: here)")
    made.add_argument("--plain", action="store_true", help="lines instead of a screen")
    made.add_argument("--json", action="store_true", help="JSON on stdout, narration on stderr")
    made.add_argument("--no-input", action="store_true", help="ask nothing")
    made.add_argument("--verbose", action="store_true", help="show the output of every command")
    if command in ("", "rehearse", "inspect"):
        made.add_argument("path", nargs="?", metavar="PATH", help="the repository")
    if command in ANSWERING:
        made.add_argument("--yes", action="store_true", help="confirm the Review")
        made.add_argument("--dry-run", action="store_true", help="show what would be done, change nothing")
        made.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
        _add_answers(made)
    if command == "plan":
        made.add_argument("--out", metavar="FILE", help="save the plan for `flywizard apply FILE`")
        made.add_argument("--exit-code", action="store_true", help="exit with 10 when there are changes")
    if command == "apply":
        made.add_argument(
            "planfile", nargs="?", metavar="PLANFILE", help="a plan saved by `flywizard plan --out`"
        )
    if command == "rehearse":
        _add_rehearsal(made)
    return made


def _add_rehearsal(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("rehearsal")
    group.add_argument("--flyctl", metavar="PATH", help="use a real flyctl against the simulated Fly.io")
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[@STEP]",
        help="let something fail; may be repeated",
    )
    group.add_argument("--speed", type=float, default=None, metavar="N", help="divide simulated waits by N")
    group.add_argument("--keep", action="store_true", help="leave the simulated Fly.io running at the end")
    group.add_argument("--reset", action="store_true", help="begin with an empty simulated Fly.io")


def _add_answers(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("answers (flag or variable)")
    for question in QUESTIONS:
        if question.kind == "secret":
            continue
        choices = ""
        if question.choices:
            choices = f" One of: {', '.join(c.value for c in question.choices if not c.disabled)}."
        text = f"{question.help}{choices} [{question.variable}]".replace("%", "%%")
        group.add_argument(question.flag, dest=f"answer:{question.id}", metavar="VALUE", help=text)
    group.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="ID=CHOICE",
        help="answer of a question about the repository; `flywizard inspect` lists them",
    )
    group.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME=env:VAR|file:PATH",
        help="where a secret's value comes from; a value itself is never an argument "
        "[FLYWIZARD_SECRET_NAME holds the value of NAME]",
    )


_DESCRIPTIONS = {
    "": "The wizard: from an empty terminal to a running project on Fly.io.",
    "rehearse": "The same, offline, on a simulated Fly.io. Nothing outside this machine is touched.",
    "doctor": "Checks what a deployment needs, all at once, each failure with its fix.",
    "inspect": "Says what the repository is and what would fail on Fly.io. Runs none of its code.",
    "plan": "Says what would be done, with prices, files and commands. Changes nothing.",
    "apply": "Does what the plan says. With PLANFILE: exactly that plan, or nothing when it is stale.",
    "resume": "Goes on with the run that was interrupted or failed; looks before it acts.",
}
_EPILOG = """\
Values that are secret: `--secret NAME=env:VAR`, `--secret NAME=file:PATH`, or the variable
FLYWIZARD_SECRET_NAME. They are kept in the OS keyring and reach Fly over stdin.

exit codes: 0 done or nothing to do · 1 a step failed · 2 usage, or a bad flywizard.toml · 3 answers missing
4 another run holds the lock · 5 stale plan · 6 preflight blocks · 10 changes (plan --exit-code)
130, 143, 129 interrupted; the run can be resumed
"""
