"""Owns the fronts without a screen: events as plain lines or JSON lines, and questions asked line by line.

Data goes to ``out`` (JSON lines, the summary), narration to ``err``. Nothing here redraws, so a screen
reader reads it in order.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import assert_never

from flywizard.events import (
    Event,
    PlanReady,
    Problem,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepInfo,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
    to_json,
)
from flywizard.fronts import Check, Field, Page, ReviewView, StopKind, Wizard
from flywizard.text import duration, rfc3339
from flywizard.vault import Secret

FORM_PAGES: tuple[Page, ...] = ("prerequisites", "signin", "project", "database", "broker", "secrets")
HEARTBEAT = 15.0
"""Seconds without a line after which the plain front says what it waits for."""
GLYPHS = {"ok": "✓", "warn": "!", "failed": "✗", "skipped": "-", "waiting": " ", "running": " "}
ASCII = {
    "✓": "+",
    "✗": "x",
    "▸": ">",
    "·": "-",
    "…": "...",
    "–": "-",
    "×": "x",
    "→": "->",
    "•": "*",
    "—": "-",
}

Write = Callable[[str], None]


def ascii_text(text: str) -> str:
    """Return a text for a terminal that shows ASCII only."""
    for sign, plain in ASCII.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode()


def usual(expected: tuple[float, float] | None) -> str:
    """Return ``usually 2 min–4 min``, or nothing."""
    if expected is None:
        return ""
    low, high = (duration(s) for s in expected)
    return f"usually {low}" if low == high else f"usually {low} to {high}"


def problem_lines(problem: Problem) -> list[str]:
    """Return a problem in its fixed order: what, why, what to do, links, log lines, raw text."""
    lines = ["", f"✗ {problem.what}", f"  why: {problem.why}"]
    if problem.remedies:
        lines.append("  what to do:")
        for number, remedy in enumerate(problem.remedies, 1):
            lines.append(f"    {number}. {remedy.label}")
            if remedy.command:
                lines.append(f"       `{remedy.command}`")
    if problem.docs:
        lines.append(f"  see {problem.docs}")
    if problem.log:
        lines += ["  last lines:"] + [f"    | {line}" for line in problem.log[-20:]]
    if problem.raw:
        lines += [f"  raw ({problem.id}):"] + [f"    | {line}" for line in problem.raw.splitlines()[-20:]]
    if problem.also:
        lines.append(f"  also matches: {', '.join(problem.also)}")
    return lines


@dataclass(slots=True)
class Lines:
    """Turns events into lines; remembers titles and what was said last."""

    titles: dict[str, str] = field(default_factory=dict)
    steps: dict[str, StepInfo] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    verbose: bool = False

    def render(self, event: Event, now: float) -> list[str]:
        """Return the lines of one event; ``now`` in seconds of any monotonic clock."""
        match event:
            case RunStarted():
                return [f"{event.project}: {event.command}"]
            case PlanReady():
                self.steps = {s.id: s for s in event.steps}
                self.titles = {s.id: s.title for s in event.steps}
                return [f"plan {event.digest}: {len(event.steps)} steps, {event.changes} changes"]
            case StepStarted():
                self.running[event.step] = now
                expected = usual(self.steps[event.step].expected) if event.step in self.steps else ""
                head = f"▸ {event.title}" + (f"  ({expected})" if expected else "")
                return [head, *(f"    $ {c}" for c in event.commands)]
            case StepOutput():
                if event.stream == "log":
                    return [f"    {event.service or self._title(event.step)} | {event.text}"]
                return [f"    | {event.text}"] if self.verbose else []
            case StepProgress() | StepWaiting():
                if self.said.get(event.step) == event.text:
                    return []
                self.said[event.step] = event.text
                return [f"  {self._title(event.step)}: {event.text}"]
            case StepSkipped():
                self.running.pop(event.step, None)
                return [f"= {self._title(event.step)}: {event.reason}"]
            case StepDone():
                self.running.pop(event.step, None)
                text = f": {event.text}" if event.text else ""
                return [f"✓ {self._title(event.step)}{text}  [{duration(event.seconds)}]"]
            case StepFailed():
                self.running.pop(event.step, None)
                return [f"✗ {self._title(event.step)}", *problem_lines(event.problem)]
            case RunEnded():
                return ["", event.text or event.outcome]
            case _:
                assert_never(event)

    def heartbeat(self, now: float) -> list[str]:
        """Return one line that names what runs, or nothing."""
        if not self.running:
            return []
        parts = [f"{self._title(s)} ({duration(now - t)})" for s, t in self.running.items()]
        return [f"  still running: {', '.join(parts)}"]

    def _title(self, step: str) -> str:
        return self.titles.get(step, step)


def review_lines(view: ReviewView) -> list[str]:
    """Return the Review as lines: every resource with verb, name, why and price, files, commands, total."""
    lines = ["", "Review: nothing has been changed yet", view.summary, ""]
    for row in view.rows:
        price = f"  {row.price}" if row.price else ""
        mark = "  (can't be undone)" if row.irreversible else ""
        lines.append(f"  {row.verb:<7} {row.what:<18} {row.name:<28} {row.why}{price}{mark}")
        lines += [f"            $ {c}" for c in row.commands]
    for file in view.files:
        lines += ["", f"  {file.verb} {file.path}"]
        lines += [f"    {line}" for line in file.diff.splitlines()]
    lines += ["", f"  {view.total}" + (f"; {view.idle}" if view.idle else "")]
    lines += [f"  {n.text}" for n in view.notes]
    lines += [f"  needs your consent: {c}" for c in view.consents]
    return lines


def check_lines(check: Check) -> list[str]:
    """Return one finished check as lines."""
    if check.state in ("waiting", "running"):
        return []
    took = f"  [{check.seconds:.1f} s]" if check.seconds and check.seconds >= 0.1 else ""
    lines = [f"  {GLYPHS[check.state]} {check.title}" + (f": {check.text}" if check.text else "") + took]
    if check.state in ("failed", "warn"):
        if check.problem is not None:
            lines += [f"  {line}" for line in problem_lines(check.problem)[2:]]
        if check.fix and (check.problem is None or check.action):
            lines.append(f"      hint: {check.fix}")
    return lines


class PlainFront:
    """Drives a wizard from first page to last without a screen."""

    def __init__(
        self,
        wizard: Wizard,
        *,
        out: Write,
        err: Write,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        run: str,
        as_json: bool = False,
        ask: Callable[[str, bool], str] | None = None,
        yes: bool = False,
        ascii_only: bool = False,
        verbose: bool = False,
    ) -> None:
        """Take the two streams as functions that write one line; ``ask(prompt, hidden)`` reads one.

        ``ask`` is None where nobody may be asked.
        """
        self._wizard, self._out, self._err_line = wizard, out, err
        self._now, self._monotonic, self._run_id = now, monotonic, run
        self._json, self._ask, self._yes, self._ascii = as_json, ask, yes, ascii_only
        self._lines = Lines(verbose=verbose)
        self._last = monotonic()
        self._signal: int | None = None

    def say(self, lines: Iterable[str]) -> None:
        """Write narration."""
        for text in lines:
            self._err_line(ascii_text(text) if self._ascii else text)
        self._last = self._monotonic()

    def sink(self, event: Event) -> None:
        """Take one event."""
        if self._json:
            header = self._wizard.header()
            body = to_json(event, time=rfc3339(self._now()), run=self._run_id, rehearsal=header.rehearsal)
            self._out(json.dumps(body, ensure_ascii=False))
        lines = self._lines.render(event, self._monotonic())
        if lines:
            self.say(lines)

    async def prepare(self) -> int:
        """Go through the form pages: read, check, ask; return an exit code, 0 to go on."""
        code = 0
        for page in FORM_PAGES:
            await self._wizard.enter(page)
            view = self._wizard.view(page)
            self.say(["", view.title] + ([f"  {view.lede}"] if view.lede else []))
            for row in view.rows:
                self.say(["  " + "  ".join(row)])
            if self._ask is not None:
                self._questions(page, self._ask)
            failed = await self._checks(page)
            if self._ask is not None and await self._renamed(page, failed, self._ask):
                failed = await self._checks(page)
            view = self._wizard.view(page)
            self.say(f"  {'! ' if n.kind in ('warn', 'bad') else ''}{n.text}" for n in view.notes)
            if failed:
                code = max(code, 1)
            errors = await self._wizard.leave(page)
            known = {f.id for f in view.fields}
            if said := [t for name, t in errors.items() if name not in known or self._ask is not None]:
                self.say(f"  ✗ {text}" for text in said)
                code = max(code, 1)
            if not await self._own(page):
                return 2
        missing = self._wizard.missing()
        if missing:
            self.say(["", "answers are missing:"])
            for item in missing:
                how = " or ".join(
                    filter(
                        None,
                        (
                            f"`{item.flag}`" if item.flag else "",
                            f"`{item.variable}`" if item.variable else "",
                        ),
                    )
                )
                self.say([f"  {item.label}: {how}" + (f"  ({item.error})" if item.error else "")])
            return 3
        return code

    async def _renamed(self, page: Page, failed: list[Check], ask: Callable[[str, bool], str]) -> bool:
        """Offer the other name that a check of a taken one proposes; tell whether one was taken."""
        changed = False
        for check in failed:
            if not check.action.startswith("rename:"):
                continue
            name = check.action.rpartition(":")[2]
            if ask(f"  {check.text}. Use `{name}`? Type `yes`: ", False).strip() in ("yes", "y"):
                changed = (await self._wizard.act(page, check.action)).ok or changed
        return changed

    async def _own(self, page: Page) -> bool:
        """Settle whose state folder it is; False: somebody else's, and nobody agreed to take it over."""
        view = self._wizard.view(page)
        action = next((a for a in view.actions if a.id == "adopt-state"), None)
        if action is None:
            return True
        if self._ask is not None and self._ask(f"{action.consent} Type `yes`: ", False).strip() == "yes":
            done = await self._wizard.act(page, action.id)
            self.say([f"  {done.text}"])
            return done.ok
        self.say(["", f"✗ {view.blocked}", *(f"hint: {n.text}" for n in view.notes if n.kind == "hint")])
        return False

    async def _checks(self, page: Page) -> list[Check]:
        final: dict[str, Check] = {}

        def on_check(check: Check) -> None:
            before = final.get(check.id)
            final[check.id] = check
            if before is None or before.state != check.state:
                self.say(check_lines(check))

        await self._wizard.check(page, on_check)
        return [c for c in final.values() if c.state == "failed"]

    def _questions(self, page: Page, ask: Callable[[str, bool], str]) -> None:
        asked: set[str] = set()
        while True:
            todo = [f for f in self._wizard.view(page).fields if f.id not in asked and not f.readonly]
            if not todo:
                return
            question = todo[0]
            asked.add(question.id)
            self._question(question, ask)

    def _question(self, item: Field, ask: Callable[[str, bool], str]) -> None:
        for choice in item.choices:
            extra = "  ".join(filter(None, (choice.detail, choice.price, choice.disabled)))
            self.say([f"    {choice.value}: {choice.label}" + (f"  {extra}" if extra else "")])
        while True:
            default = f" [{item.value}]" if item.value else ""
            value = ask(f"  {item.label}{default}: ", item.kind == "secret")
            if not value:
                return
            error = self._wizard.set(item.id, Secret(value) if item.kind == "secret" else value)
            if not error:
                return
            self.say([f"    ✗ {error}"])

    async def deploy(self, *, resume: bool = False) -> int:
        """Review (unless resuming) and run; return the exit code."""
        if not resume:
            view = await self._wizard.review()
            self.say(review_lines(view))
            if view.blocked:
                self.say(["", f"✗ {view.blocked}"])
                return 1
            if view.changes and not await self._consent(view):
                return 3 if self._ask is None else 130
        loop = asyncio.get_running_loop()
        handled = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self._on_signal, number)
                handled.append(number)
            except (NotImplementedError, RuntimeError, ValueError):
                continue
        beat = asyncio.create_task(self._heartbeat())
        try:
            outcome = await self._wizard.run(self.sink, resume=resume)
        finally:
            beat.cancel()
            for number in handled:
                loop.remove_signal_handler(number)
        if outcome in ("done", "nothing-to-do"):
            for line in self._wizard.summary().lines():
                if self._json:
                    self.say([line])
                else:
                    self._out(line)
            return 0
        self.say(["", f"the full log is in `{self._wizard.log_path()}`"])
        if outcome == "interrupted":
            self.say([f"hint: `{self._wizard.header().resume}` goes on where it stopped"])
            return 128 + (self._signal or signal.SIGINT)
        self.say([f"hint: mend it, then `{self._wizard.header().resume}` goes on where it stopped"])
        return 1

    async def _consent(self, view: ReviewView) -> bool:
        if self._yes and not view.consents:
            return True
        if self._ask is None:
            self.say(["", "✗ nobody can be asked to confirm this", "hint: add `--yes`"])
            return self._yes and not view.consents
        for consent in view.consents:
            if self._ask(f"{consent} Type `yes`: ", False).strip() != "yes":
                return False
        return self._yes or self._ask(f"Deploy this ({view.total})? Type `yes`: ", False).strip() in (
            "yes",
            "y",
        )

    def _on_signal(self, number: int) -> None:
        again = self._signal is not None
        self._signal = number
        kind: StopKind = "after-step"
        if number != signal.SIGINT or again:
            kind = "leave"
        else:
            self.say(
                ["", "stopping after the steps that run now; press Ctrl+C again to leave them running and go"]
            )
        self._task = asyncio.ensure_future(self._wizard.stop(kind))

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._monotonic() - self._last >= HEARTBEAT:
                self.say(self._lines.heartbeat(self._monotonic()))
