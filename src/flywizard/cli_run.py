"""Owns running a command: from parsed options to a session, a front and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flywizard import __version__
from flywizard.cli_words import (
    EXIT_CHANGES,
    EXIT_MISSING,
    EXIT_PREFLIGHT,
    EXIT_STALE,
    EXIT_USAGE,
    is_unicode,
)

if TYPE_CHECKING:
    from flywizard.backstage import Backstage
    from flywizard.plain import PlainFront
    from flywizard.rehearsal.launch import Rehearsal
    from flywizard.session import Session


class Stop(Exception):  # noqa: N818 - an exit, not a fault
    """Ends the command with a text and a code."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(*lines)
        self.code, self.lines = code, lines


def say(text: str) -> None:
    """Write one line of narration."""
    sys.stderr.write((text if is_unicode(sys.stderr) else _ascii(text)) + "\n")
    sys.stderr.flush()


def data(text: str) -> None:
    """Write one line of data; a stream that takes ASCII only gets JSON with escapes."""
    if not is_unicode(sys.stdout) and not text.isascii():
        text = json.dumps(json.loads(text)) if text.startswith("{") else _ascii(text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    from flywizard.plain import ascii_text

    return ascii_text(text)


def run_command(command: str, options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run one command; return the exit code of the contract."""
    try:
        root = _root(options)
        if not (options.json or command == "inspect"):
            label = "rehearsal on the simulated Fly.io" if command == "rehearse" else (command or "wizard")
            if not uses_screen(command, options, environ):
                say(f"flywizard {__version__} · {_project(command, options, root)} · {label}")
        return _run(command, options, environ, root)
    except Stop as stop:
        for line in stop.lines:
            say(line)
        return stop.code


def _project(command: str, options: argparse.Namespace, root: Path) -> str:
    return "helpdesk (the example)" if command == "rehearse" and options.path is None else root.name


def _root(options: argparse.Namespace) -> Path:
    given = options.directory or getattr(options, "path", None) or "."
    path = Path(given).expanduser()
    if options.directory and getattr(options, "path", None):
        path = path / options.path
    path = path.absolute()
    if not path.is_dir():
        raise Stop(
            EXIT_USAGE, f"✗ there is no folder `{given}`", "hint: name the repository, or `cd` into it"
        )
    return path


def uses_screen(command: str, options: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    """Tell whether the terminal wizard starts: only on a real terminal, and unless told otherwise."""
    if command not in ("", "rehearse", "resume") or options.plain or options.json or options.no_input:
        return False
    if getattr(options, "dry_run", False):
        return False
    if environ.get("CI") or environ.get("TERM") == "dumb" or environ.get("FLYWIZARD_ACCESSIBLE") == "1":
        return False
    return sys.stdin.isatty() and sys.stderr.isatty()


def _run(command: str, options: argparse.Namespace, environ: Mapping[str, str], root: Path) -> int:
    if command == "inspect":
        return _inspect(options, root)
    rehearsal: Rehearsal | None = None
    back: Backstage
    if command == "rehearse":
        rehearsal, back = _rehearse(options, environ, root)
    else:
        from flywizard.adapters.backstage import RealBackstage

        back = RealBackstage(root, environ)
    if command == "doctor":
        return asyncio.run(_doctor(options, back))
    from flywizard.fronts import Refused
    from flywizard.spec_faults import SpecError
    from flywizard.state_folder import StateError

    try:
        session = _session(command, options, environ, back)
        if uses_screen(command, options, environ):
            code = _screen(session, options, command)
        else:
            code = asyncio.run(_lines(session, options, command, environ))
        if rehearsal is not None:
            _note_written(rehearsal, session)
        return code
    except SpecError as error:
        raise Stop(EXIT_USAGE, *(f"✗ {fault}" for fault in error.faults)) from None
    except Refused as error:
        raise Stop(error.code, f"✗ {error.problem.what}", f"  {error.problem.why}") from None
    except StateError as error:
        raise Stop(1, f"✗ {error.strerror or error} (`{error.filename}`)") from None
    finally:
        if rehearsal is not None and not options.keep:
            rehearsal.stop()


def _session(
    command: str, options: argparse.Namespace, environ: Mapping[str, str], back: Backstage
) -> Session:
    from flywizard.session import Session

    flags = {
        key.removeprefix("answer:"): value
        for key, value in vars(options).items()
        if key.startswith("answer:") and value is not None
    }
    if getattr(options, "planfile", None):
        flags = {**_plan_file(options.planfile).answers, **flags}
    from flywizard.answers import BY_ID, validate

    wrong = [
        f"✗ {BY_ID[k].flag} {v!r}: {text}"
        for k, v in flags.items()
        if k in BY_ID and (text := validate(BY_ID[k], v))
    ]
    if wrong:
        raise Stop(EXIT_USAGE, *wrong)
    decided = dict(text.partition("=")[::2] for text in getattr(options, "answer", []))
    if any(not k or not v for k, v in decided.items()):
        raise Stop(EXIT_USAGE, "✗ --answer takes ID=CHOICE", "hint: `flywizard inspect` lists the questions")
    return Session(
        back,
        decided=decided,
        flags=flags,
        secrets=_secrets(options, environ),
        command=f"flywizard {command}".strip(),
        hurried=uses_screen(command, options, environ),
    )


def _plan_file(path: str):  # type: ignore[no-untyped-def]  # SavedPlan, imported late
    from flywizard.plan_file import PlanFileError, decode

    try:
        return decode(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise Stop(EXIT_USAGE, f"✗ can't read the plan `{path}`: {error.strerror}") from None
    except (PlanFileError, UnicodeDecodeError) as error:
        raise Stop(EXIT_USAGE, f"✗ `{path}` is no plan: {error}") from None


def _secrets(options: argparse.Namespace, environ: Mapping[str, str]):  # type: ignore[no-untyped-def]
    from flywizard.vault import Secret

    found: dict[str, Secret] = {}
    for text in getattr(options, "secret", []):
        name, _, source = text.partition("=")
        kind, _, place = source.partition(":")
        if kind == "env" and place:
            if place not in environ:
                raise Stop(EXIT_USAGE, f"✗ --secret {name}: there is no variable `{place}`")
            found[name] = Secret(environ[place])
        elif kind == "file" and place:
            try:
                found[name] = Secret(Path(place).expanduser().read_text("utf-8").removesuffix("\n"))
            except (OSError, UnicodeDecodeError) as error:
                raise Stop(
                    EXIT_USAGE, f"✗ --secret {name}: can't read `{place}` ({type(error).__name__})"
                ) from None
        else:
            raise Stop(
                EXIT_USAGE, "✗ --secret takes NAME=env:VAR or NAME=file:PATH",
                "hint: a value on the command line could be read by others",
            )  # fmt: skip
    return found


def _rehearse(options: argparse.Namespace, environ: Mapping[str, str], root: Path):  # type: ignore[no-untyped-def]
    from flywizard.adapters.backstage import RealBackstage
    from flywizard.rehearsal.kafka import RehearsalKafka
    from flywizard.rehearsal.launch import FASTEST, RehearsalError, begin, check_faults

    if options.speed is not None and not 0 < options.speed <= FASTEST:
        raise Stop(EXIT_USAGE, f"✗ --speed takes a positive number up to {FASTEST:,}")
    try:
        check_faults(options.fault)
    except ValueError as error:
        raise Stop(EXIT_USAGE, f"✗ --fault: {error}") from None
    flyctl = None
    if options.flyctl:
        flyctl = Path(options.flyctl).expanduser().absolute()
        if not os.access(flyctl, os.X_OK):
            raise Stop(EXIT_USAGE, f"✗ --flyctl: `{options.flyctl}` is no executable file")
    source = None if options.path is None and options.directory is None else root
    try:
        rehearsal = begin(
            source, environ, speed=options.speed, faults=options.fault, reset=options.reset, flyctl=flyctl
        )
    except RehearsalError as error:
        raise Stop(1, f"✗ {error}") from None
    back = RealBackstage(
        rehearsal.root, rehearsal.environ, project_root=rehearsal.project_root, rehearsal=True,
        speed=rehearsal.speed, stand_ins=rehearsal.stand_ins, edge=rehearsal.edge, public=rehearsal.public,
        resume_command=_again(options),
        kafka=RehearsalKafka(rehearsal.broker_port), vault=rehearsal.vault,
    )  # fmt: skip
    return rehearsal, back


def _again(options: argparse.Namespace) -> str:
    """Return the command that goes on with this rehearsal: a rehearsal never resumes on the real Fly.io."""
    given = [str(w) for w in ("-C", options.directory) if options.directory] + [options.path or ""]
    return " ".join(["flywizard rehearse", *filter(None, given)])


def _note_written(rehearsal: Rehearsal, session: Session) -> None:
    from flywizard.rehearsal.launch import remember_written

    if session.state.plan is not None:
        remember_written(rehearsal.root, [f.path for f in session.state.plan.files])


def _screen(session: Session, options: argparse.Namespace, command: str) -> int:
    from flywizard.tui.app import run_app

    return run_app(
        session,
        "deploy" if command == "resume" else None,
        mouse=not options.no_mouse,
        on_crash=session.keep_crash,
    )


def _front(
    session: Session, options: argparse.Namespace, command: str, environ: Mapping[str, str]
) -> PlainFront:
    from flywizard.plain import PlainFront

    on_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    ask = (
        _ask if on_terminal and not options.no_input and not options.json and not environ.get("CI") else None
    )
    return PlainFront(
        session, out=data, err=say, now=time.time, monotonic=time.monotonic, run=session.run_id,
        as_json=options.json, ask=ask, yes=options.yes or (command == "rehearse" and ask is None),
        ascii_only=not is_unicode(sys.stderr), verbose=options.verbose,
    )  # fmt: skip


def _ask(prompt: str, hidden: bool) -> str:
    if hidden:
        return getpass.getpass(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().rstrip("\n")


async def _lines(
    session: Session, options: argparse.Namespace, command: str, environ: Mapping[str, str]
) -> int:
    try:
        return await _through(session, options, command, environ)
    finally:
        await session.close()


async def _through(
    session: Session, options: argparse.Namespace, command: str, environ: Mapping[str, str]
) -> int:
    front = _front(session, options, command, environ)
    if command == "resume":
        resumable = session.journal_state().resumable
        if (foreign := session.foreign()) is not None:
            front.say([f"✗ {foreign[0]}", f"hint: {foreign[1]}"])
            return EXIT_USAGE
        if not resumable:
            front.say(["nothing to resume: the last run came to its end"])
            return 0
        stop = await session.prepare()
        if stop is not None:
            return await front.prepare() or await front.deploy(resume=True)
        return await front.deploy(resume=True)
    code = await front.prepare()
    if code:
        return code
    if command == "plan":
        return await _plan(session, front, options)
    if getattr(options, "planfile", None):
        saved = _plan_file(options.planfile)
        view = await session.review()
        if view.digest != saved.digest:
            front.say(
                ["", "✗ the plan is stale: the repository or the account changed since it was made",
                 f"  saved {saved.digest}, now {view.digest}; nothing was done",
                 "hint: make it again with `flywizard plan --out FILE`"]
            )  # fmt: skip
            return EXIT_STALE
    if options.dry_run:
        return await _plan(session, front, options)
    blocking = session.blocking()
    if blocking is not None:
        from flywizard.plain import problem_lines

        front.say(problem_lines(blocking))
        return EXIT_PREFLIGHT
    return await front.deploy()


async def _plan(session: Session, front: PlainFront, options: argparse.Namespace) -> int:
    from flywizard.plain import review_lines

    view = await session.review()
    if view.blocked and not view.rows:
        front.say(["", f"✗ {view.blocked}"])
        return 1
    if options.json:
        data(json.dumps(session.plan_json(), ensure_ascii=False))
    else:
        for line in review_lines(view):
            data(line)
    if getattr(options, "out", None):
        try:
            front.say([f"saved as `{await session.save_plan(options.out)}`"])
        except OSError as error:
            front.say([f"✗ can't write `{options.out}`: {error.strerror or error}"])
            return 1
    blocking = session.blocking()
    if blocking is not None:
        from flywizard.plain import problem_lines

        front.say(problem_lines(blocking))
        return EXIT_PREFLIGHT
    if view.blocked:
        front.say(["", f"✗ {view.blocked}"])
        return 1
    return EXIT_CHANGES if getattr(options, "exit_code", False) and view.changes else 0


def _inspect(options: argparse.Namespace, root: Path) -> int:
    from flywizard.project.detect import inspect
    from flywizard.project.report import report_lines

    findings = inspect(root)
    if options.json:
        data(json.dumps(findings.to_json(), ensure_ascii=False))
        return 0
    for line in report_lines(root.name, findings):
        data(line)
    return 0


async def _doctor(options: argparse.Namespace, back: Backstage) -> int:
    from flywizard.fronts import Check
    from flywizard.plain import check_lines

    final: dict[str, Check] = {}

    def on_check(check: Check) -> None:
        final[check.id] = check
        if not options.json:
            for line in check_lines(check):
                say(line)

    await back.prerequisites(on_check)
    failed = [c for c in final.values() if c.state == "failed"]
    if options.json:
        checks = [
            {
                "id": c.id,
                "title": c.title,
                "state": c.state,
                "text": c.text,
                "fix": c.fix,
                "seconds": c.seconds,
            }
            for c in final.values()
        ]
        data(json.dumps({"version": 1, "ok": not failed, "checks": checks}, ensure_ascii=False))
    elif not failed:
        say("everything is ready")
    await back.close()
    return 1 if failed else 0


__all__ = ["EXIT_MISSING", "run_command", "uses_screen"]
