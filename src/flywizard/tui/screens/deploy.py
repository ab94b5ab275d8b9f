"""Owns the Deploy screen: progress, step tree and logs while it runs, the problem and its remedies when it stopped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Input, Static

from flywizard.events import Problem, Remedy
from flywizard.fronts import Page
from flywizard.tui import words
from flywizard.tui.handover import page_file, readable, save_text
from flywizard.tui.look import BAD, DIM, GOOD, STRONG, WARN, clock, line
from flywizard.tui.screens.dialogs import Confirm, Prompt, Reader
from flywizard.tui.screens.frame import PAGES_CSS, Frame, buttons
from flywizard.tui.state import RunState
from flywizard.tui.widgets.entry import Entry
from flywizard.tui.widgets.log_view import LogTitle, LogView
from flywizard.tui.widgets.press import Press
from flywizard.tui.widgets.step_tree import StepTree
from flywizard.vault import Secret

RATE = 12
"""Times a second at which state and logs are drawn."""
COPIED_LINES = 2_000


class DeployScreen(Frame):
    """A run as it goes, or as it stopped."""

    CSS_PATH = PAGES_CSS
    AUTO_FOCUS = "#log"
    page: Page | None = "deploy"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", show=False, id="log-search"),
        Binding("o", "open", "Open the full log, or the docs", show=False, id="deploy-open"),
        Binding("l", "open_log", "Open the full log", show=False, id="deploy-log"),
        Binding("c", "copy", "Copy lines, or the report", show=False, id="deploy-copy"),
        Binding("w", "save", "Save the lines", show=False, id="deploy-save"),
        Binding("r", "remedy_by('retry')", "Retry", show=False, id="deploy-retry"),
        Binding("e", "remedy_by('edit')", "Edit the answer", show=False, id="deploy-edit"),
        Binding("s", "remedy_by('skip')", "Skip", show=False, id="deploy-skip"),
        Binding("q", "quit_here", "Stop here", show=False, id="deploy-quit"),
        *(
            Binding(str(n), f"remedy({n})", f"Remedy {n}", show=False, id=f"deploy-remedy-{n}")
            for n in range(1, 10)
        ),
        Binding("escape", "escape", "Close the search", show=False, id="deploy-escape"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._seen: RunState | None = None
        self._second = -1

    def body(self) -> Iterable[Widget]:
        """Both faces: running and stopped."""
        view = LogView(self.flywizard.book)
        yield Static(id="title")
        yield Static(id="lede")
        with Vertical(id="running"):
            yield StepTree()
            with Vertical(id="log-pane"):
                yield LogTitle(view)
                yield Entry(placeholder="search the log", ident="log-search")
                yield view
        with VerticalScroll(id="stopped", can_focus=True):
            yield Static(id="problem", classes="problem")
            yield Static(id="last-title", classes="part")
            yield Static(id="last", classes="part")
        yield buttons(
            Press("Stop…", "stop"),
            right=[Press("Edit answer", "edit"), Press("Retry", "retry", primary=True)],
        )

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the keys of the face that is shown."""
        state = self.flywizard.state
        if state.ended is None:
            return [
                ("tab", "steps/log", "app.focus_next"),
                ("←→", "service", ""),
                ("/", "search", "screen.search"),
                ("space", "pause", ""),
                ("o", "open full log", "screen.open"),
                ("^c", "stop…", "app.interrupt"),
                ("F1", "help", "app.help"),
            ]
        keys = [("r", "retry", "screen.remedy_by('retry')")]
        if self._find("edit"):
            keys.append(("e", "edit answer", "screen.remedy_by('edit')"))
        if self._find("skip"):
            keys.append(("s", "skip", "screen.remedy_by('skip')"))
        if state.problem is not None and state.problem.docs:
            keys.append(("o", "docs", "screen.open"))
        return [
            *keys,
            ("c", "copy report", "screen.copy"),
            ("l", "full log", "screen.open_log"),
            ("q", "stop here", "screen.quit_here"),
        ]

    def on_mount(self) -> None:
        """Draw at a steady rate, whatever the rate of events."""
        self.query_one("#log-search").display = False
        self.set_interval(1 / RATE, self.tick)
        self.tick()

    def on_screen_resume(self) -> None:
        """A dialog was closed: the run may have ended meanwhile."""
        self.call_later(self.flywizard.run_ended)

    def on_resize(self, event: Resize) -> None:
        """The progress line has another length."""
        self._seen = None

    # -- drawing

    def tick(self) -> None:
        """Draw what changed since the last frame."""
        if not self.stands():
            return
        app = self.flywizard
        state, now = app.state, app.clock()
        self.query_one(LogView).feed()
        frame = int(now * 6)
        if state is self._seen and (state.ended is not None or frame == self._second):
            return
        ended = self._seen is None or (self._seen.ended is None) != (state.ended is None)
        self._seen, self._second = state, frame
        self._draw_head(state, now)
        self.query_one(StepTree).draw(state, now)
        if ended:
            self._draw_face(state)
            self.draw_frame()

    def redraw(self) -> None:
        """Draw everything anew, for a new run."""
        if not self.query(LogView):
            return
        self._seen = None
        self.say("")
        log = self.query_one(LogView)
        log.tab = "all"
        log.rebuild()
        self.tick()

    def _draw_head(self, state: RunState, now: float) -> None:
        title, lede = self.query_one("#title", Static), self.query_one("#lede", Static)
        elapsed = clock(state.elapsed(now))
        if state.ended is not None and state.problem is not None:
            step = state.step(state.failed)
            title.update(
                Content.assemble(("Stopped: ", f"{STRONG} {BAD}"), (line(state.problem.what), STRONG))
            )
            name = line(step.info.title) if step else state.failed
            lede.update(
                Content.styled(
                    f"{name} · everything before it stands · {state.finished} of {len(state.steps)}", DIM
                )
            )
            return
        if state.ended is not None and state.outcome not in ("done", "nothing-to-do"):
            title.update(Content.assemble(("Stopped ", f"{STRONG} {WARN}"), (f"after {elapsed}", STRONG)))
            lede.update(Content.styled("what is done stands; resume goes on from here", DIM))
            return
        speed = self.wizard.header().speed
        left = state.remaining(now, speed)
        about = "" if left is None or left < 1 or state.ended is not None else f"about {clock(left)} left"
        verb = "Deployed" if state.ended is not None else "Deploying"
        title.update(Content.assemble((verb, STRONG), "   ", (elapsed, STRONG), "   ", (about, DIM)))
        total = len(state.steps)
        width = max(10, min(60, self.query_one("#body").content_size.width - 14))
        full = width * state.finished // total if total else 0
        count = f"  {state.finished} of {total}" if total else "  looking at what is there…"
        lede.update(Content.assemble(("━" * full, GOOD), ("━" * (width - full), DIM), (count, DIM)))

    def _draw_face(self, state: RunState) -> None:
        stopped = state.ended is not None and state.outcome in ("failed", "interrupted")
        self.query_one("#running").display = not stopped
        self.query_one("#stopped").display = stopped
        self.query_one("#stop", Press).label = "Stop here" if stopped else "Stop…"
        retry, edit = self.query_one("#retry", Press), self.query_one("#edit", Press)
        retry.display = stopped
        edit.display = stopped and self._find("edit") is not None
        if not stopped:
            self.query_one(LogView).focus()
            return
        self.say("")
        problem = state.problem or STOPPED
        self.query_one("#problem", Static).update(words.problem(problem, keys=True))
        last = words.raw(problem)
        self.query_one("#last-title", Static).update(
            Content.styled(f"── last lines of {line(self._failed_title(state))} ", DIM)
        )
        self.query_one("#last", Static).update(last)
        for part in ("#last-title", "#last"):
            self.query_one(part).display = bool(last.plain)
        first = problem.remedies[0] if problem.remedies else None
        plain = first is None or first.action == "retry" or state.problem is None
        retry.label = "Resume" if state.problem is None else "Retry" if plain else "Apply 1 and retry"
        if (
            first is not None
            and not plain
            and first.action.split(":")[0] in ("edit", "docs", "copy", "quit", "undo")
        ):
            retry.label = "Retry"
        retry.focus()

    @staticmethod
    def _failed_title(state: RunState) -> str:
        step = state.step(state.failed)
        return step.info.title if step else "the run"

    @on(LogView.Changed)
    def _log_changed(self) -> None:
        self.query_one(LogTitle).refresh()

    def on_descendant_focus(self) -> None:
        """The title of the log shows where the keys go."""
        self.query_one(LogTitle).refresh()

    # -- keys while it runs

    def action_search(self) -> None:
        """Open the search line."""
        if self.query_one("#running").display:
            search = self.query_one("#log-search", Input)
            search.display = True
            search.focus()

    @on(Input.Submitted, "#log-search")
    def _searched(self, event: Input.Submitted) -> None:
        event.stop()
        log = self.query_one(LogView)
        found = log.look_for(event.value)
        self.say("" if found or not event.value else f"`{event.value}` is not in these lines")
        if found:
            self.say("n and p go to the next match and the one before")
        event.input.display = False
        log.focus()

    def action_escape(self) -> None:
        """Close the search; else ask as Ctrl+C does."""
        search = self.query_one("#log-search", Input)
        if search.display:
            search.display = False
            self.query_one(LogView).focus()
        elif self.flywizard.state.ended is None:
            self.flywizard.action_interrupt()

    def action_open(self) -> None:
        """Open the docs of the problem, or the full log."""
        problem = self.flywizard.state.problem
        if self.flywizard.state.ended is not None and problem is not None and problem.docs:
            self.app.open_url(problem.docs)
            self.say(f"opened {problem.docs}")
        else:
            self.action_open_log()

    @work(group="dialog", exclusive=True, description="read the full log in the pager")
    async def action_open_log(self) -> None:
        """Open the full log in $PAGER with the terminal handed over."""
        path = readable(self.wizard.log_path())
        if path is None:
            self.say(f"the full log will be `{self.wizard.log_path()}`")
            return
        await self.flywizard.with_terminal(partial(page_file, path))

    def action_copy(self) -> None:
        """Copy the report of the problem, or the lines of the tab."""
        if self.flywizard.state.problem is not None and self.flywizard.state.ended is not None:
            report = self.wizard.report()
            self.app.copy_to_clipboard(report)
            self.app.push_screen(
                Reader(
                    "Report, without secrets", report.splitlines(), foot="sent to the terminal's clipboard"
                )
            )
            return
        self.app.copy_to_clipboard(self.query_one(LogView).text(COPIED_LINES))
        self.say("sent to the terminal's clipboard")

    @work(group="dialog", exclusive=True, description="save the lines of the log")
    async def action_save(self) -> None:
        """Save the lines of the tab into a file."""
        suggestion = f"~/{self.wizard.header().project or 'flywizard'}-run.log"
        typed = await self.app.push_screen_wait(Prompt("Save these lines as", value=suggestion))
        if typed is None:
            return
        try:
            save_text(typed, self.query_one(LogView).text())
        except OSError as error:
            self.say(f"not saved: {error.strerror or 'the file could not be written'}")
        else:
            self.say(f"saved as `{typed}`")

    @on(Press.Pressed, "#stop")
    def _stop(self) -> None:
        if self.flywizard.state.ended is None:
            self.flywizard.action_interrupt()
        else:
            self.action_quit_here()

    # -- keys once it stopped

    def _remedies(self) -> tuple[Remedy, ...]:
        state = self.flywizard.state
        if state.ended is None:
            return ()
        return (state.problem or STOPPED).remedies

    def _find(self, kind: str) -> Remedy | None:
        return next((r for r in self._remedies() if r.action.split(":", 1)[0] == kind), None)

    def action_quit_here(self) -> None:
        """Leave; the run can be resumed."""
        if self.flywizard.state.ended is None:
            self.flywizard.action_interrupt()
        else:
            self.flywizard.finish()

    @on(Press.Pressed, "#retry")
    def _retry_pressed(self, event: Press.Pressed) -> None:
        if event.button.label.startswith("Apply"):
            self.action_remedy(1)
        else:
            self.action_remedy_by("retry")

    @on(Press.Pressed, "#edit")
    def _edit_pressed(self) -> None:
        self.action_remedy_by("edit")

    def action_remedy(self, number: int) -> None:
        """Take remedy ``number``, counted from 1."""
        remedies = self._remedies()
        if number <= len(remedies):
            self._apply(remedies[number - 1])

    def action_remedy_by(self, kind: str) -> None:
        """Take the first remedy of a kind; retry is always there once a run stopped."""
        remedy = self._find(kind)
        if remedy is not None:
            self._apply(remedy)
        elif kind == "retry" and self.flywizard.state.ended is not None:
            self._apply(Remedy("retry", "Try again"))

    @work(group="remedy", exclusive=True, description="apply a remedy")
    async def _apply(self, remedy: Remedy) -> None:
        kind, _, name = remedy.action.partition(":")
        value: str | Secret | None = None
        match kind:
            case "docs":
                self.action_open()
                return
            case "copy":
                self.action_copy()
                return
            case "quit":
                self.flywizard.finish()
                return
            case "retry" if self.flywizard.state.problem is None:
                self.flywizard.deploy(resume=True)
                return
            case "undo" | "skip":
                yes = "Skip it" if kind == "skip" else "Undo"
                texts = [remedy.label, *([f"$ {remedy.command}"] if remedy.command else [])]
                if not await self.app.push_screen_wait(Confirm(f"{yes}?", texts, yes=yes, no="No")):
                    return
            case "set" if "=" not in name:
                typed = await self.app.push_screen_wait(Prompt(f"New value of {name}", secret=True))
                if typed is None:
                    return
                value = Secret(typed)
                del typed
            case _:
                pass
        self.say(f"{remedy.label}…")
        result = await self.wizard.remedy(remedy.action, value)
        self.say(result.text)
        if not result.ok or result.goto is None:
            return
        if result.goto == "deploy":
            self.flywizard.deploy(resume=True)
        else:
            self.call_later(self.flywizard.show, result.goto, result.field)


STOPPED = Problem(
    "STOPPED",
    "The run was stopped before its end.",
    "You asked for it. Nothing that was created is lost, and nothing will be created twice.",
    (
        Remedy("retry", "Resume from here"),
        Remedy("quit", "Stop here and resume later with `flywizard resume`"),
    ),
)
