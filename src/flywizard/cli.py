"""Owns the command line: arguments and environment to a front, and exit codes. Imports nothing heavy at the top."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from flywizard import __version__
from flywizard.cli_words import COMMANDS, EXIT_USAGE, is_unicode

if TYPE_CHECKING:
    import argparse

HELP = """\
usage: flywizard [PATH] [options]
       flywizard COMMAND [options]

Takes a docker-compose project (FastAPI API, Kafka worker, Next.js frontend, Postgres) to Fly.io.
Without a command: the wizard for the repository at PATH (default: here).

commands:
{commands}

options:
  --plain          lines instead of a screen (also the accessible form)
  --json           JSON lines on stdout, narration on stderr
  --no-input       ask nothing; missing answers are listed all at once
  --yes            confirm the Review
  --dry-run        show what would be done, change nothing
  -C DIR           the repository, instead of the current directory
  --no-mouse       leave the mouse to the terminal
  --version        print the version
  -h, --help       this text; `flywizard COMMAND --help` lists every answer's flag and variable
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    _streams()
    if words and words[0] in ("--version", "-V"):
        sys.stdout.write(f"flywizard {__version__}\n")
        return 0
    if words and words[0] in ("--help", "-h", "help"):
        listed = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
        sys.stdout.write(HELP.format(commands=listed))
        return 0
    command, rest = ("", words)
    for at, word in enumerate(words):
        if word in COMMANDS:
            command, rest = word, words[:at] + words[at + 1 :]
            break
        if not word.startswith("-") and (at == 0 or words[at - 1] != "-C"):
            break
    if command == "completion":
        return _completion(rest)
    from flywizard.cli_options import parser

    parsed = parser(command).parse_args(rest)
    return _dispatch(command, parsed)


def _streams() -> None:
    """Let no closed or narrow stream be a crash: what is closed leads nowhere, what can't be encoded is replaced."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
        elif number and hasattr(stream, "reconfigure") and not is_unicode(stream):
            stream.reconfigure(errors="replace")


def _dispatch(command: str, parsed: argparse.Namespace) -> int:
    from flywizard.cli_run import run_command

    try:
        return run_command(command, parsed, dict(os.environ))
    except BrokenPipeError:
        # the reader of our lines went away: nothing more can be said
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1
    except KeyboardInterrupt:
        return 130


def _completion(words: list[str]) -> int:
    from flywizard.completion import script

    if len(words) != 1 or words[0] not in ("bash", "zsh", "fish"):
        sys.stderr.write("usage: flywizard completion bash|zsh|fish\n")
        return 0 if words[:1] in (["-h"], ["--help"]) else EXIT_USAGE
    sys.stdout.write(script(words[0]))
    return 0
