"""Owns the Textual app: which screen is shown, the run and its events, signals, the way out and the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar, TypeVar

from textual import work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from flywizard.events import Event, Outcome, StepOutput
from flywizard.fronts import Page, RailItem, Refused, Wizard
from flywizard.tui.goodbye import let_go_of_lost_streams, say_goodbye, terminal_stands
from flywizard.tui.logbook import LogBook
from flywizard.tui.look import ANSI_VARIABLES, line, themes
from flywizard.tui.screens.frame import HEIGHTS, WIDTHS, Frame
from flywizard.tui.screens.home import HomeScreen
from flywizard.tui.state import RunState, reduce
from flywizard.tui.workarounds import QuietCrash, replaceable

T = TypeVar("T")
EXIT_BY_OUTCOME: dict[Outcome | None, int] = {
    None: 0,
    "done": 0,
    "nothing-to-do": 0,
    "failed": 1,
    "interrupted": 130,
}
INTERRUPTED = 130
FIRST_CSS: list[str | PurePath] = ["flywizard.tcss"]
STOP_LIMIT = 3.0
"""Seconds that a forced or signalled stop may take before the terminal is given back."""
TERMINAL_LOOK = 1.0
"""Seconds between two looks at whether the terminal is still there."""


def palette_title(words: str) -> str:
    """Return words as the palette may show them: it reads its titles as markup, so brackets go."""
    plain = line(words).replace("[", "(").replace("]", ")")
    return plain[:1].upper() + plain[1:]


def wall_clock() -> str:
    """Return the local time as ``14:02:11``."""
    return time.strftime("%H:%M:%S")


class FlywizardApp(QuietCrash[int]):
    """The wizard in a terminal."""

    TITLE = "flywizard"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", show=False, id="help"),
        Binding("ctrl+l", "show_log_path", "Where the log is", show=False, id="log-path"),
        Binding("ctrl+c", "interrupt", "Stop", show=False, priority=True, id="interrupt"),
        Binding("ctrl+q", "leave", "Quit", show=False, priority=True, id="leave"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, id="suspend"),
    ]

    def __init__(
        self,
        wizard: Wizard,
        start: Page | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], str] = wall_clock,
        on_crash: Callable[[str], str] = lambda report: report,
        theme: str = "flywizard",
    ) -> None:
        super().__init__(css_path=FIRST_CSS if start is None else [*FIRST_CSS, "pages.tcss"])
        self.wizard = wizard
        self.clock = clock
        self.wall = wall
        self.on_crash = on_crash
        self.state = RunState()
        self.book = LogBook()
        self._start = start
        self._forcing = False
        self._choosing = False
        self._refused: int | None = None
        """Exit code of a run that could not begin."""
        for own in themes():
            self.register_theme(own)
        self.theme = theme

    # -- screens

    def get_default_screen(self) -> Screen[None]:
        """Return the first screen; one pushed later would cost a second layout."""
        return replaceable(self._make(self._start))

    def _make(self, page: Page | None, field: str = "") -> Frame:
        match page:
            case None:
                return HomeScreen()
            case "review":
                from flywizard.tui.screens.review import ReviewScreen

                return ReviewScreen()
            case "deploy":
                from flywizard.tui.screens.deploy import DeployScreen

                return DeployScreen()
            case "done":
                from flywizard.tui.screens.done import DoneScreen

                return DoneScreen()
            case _:
                from flywizard.tui.screens.form import FormScreen

                return FormScreen(page, field)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our colours for themes that do not name them."""
        return ANSI_VARIABLES

    def on_mount(self) -> None:
        """Listen to signals; begin at once when the start is a run."""
        self._listen()
        if self._start == "deploy":
            self.deploy(resume=True)

    def show(self, page: Page | None, field: str = "") -> None:
        """Show a page, or Home; ``field`` is the question on it that gets the focus."""
        from flywizard.tui.screens.form import FormScreen

        while isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        screen = self.screen
        if isinstance(screen, FormScreen) and page is not None and page not in ("review", "deploy", "done"):
            screen.go(page, field)
            return
        self.switch_screen(self._make(page, field))

    def rail(self, page: Page | None) -> Sequence[RailItem]:
        """Return the rail; a run that stopped marks its line."""
        items = list(self.wizard.rail(page))
        if page == "deploy" and self.state.ended is not None and self.state.outcome == "failed":
            items = [replace(i, state="failed") if i.page == "deploy" else i for i in items]
        return items

    @work(group="navigate", description="act on a line of Home")
    async def choose(self, item: str) -> None:
        """Act on a line of Home and show where it leads."""
        if self._choosing:
            return
        self._choosing = True
        try:
            page = await self.wizard.choose(item)
        finally:
            self._choosing = False
        if page == "deploy":
            self.deploy(resume=True)
        else:
            self.call_later(self.show, page)

    # -- the run

    def deploy(self, *, resume: bool) -> None:
        """Begin or go on with the run, and show it."""
        from flywizard.tui.screens.deploy import DeployScreen

        if self.state.running:
            return
        self.state = RunState(started=self.clock())
        self.book.clear()
        if isinstance(self.screen, DeployScreen):
            self.screen.redraw()
        else:
            self.call_later(self.show, "deploy")
        self._run_engine(resume)

    @work(group="engine", exclusive=True, description="apply the plan")
    async def _run_engine(self, resume: bool) -> None:
        outcome: Outcome = "failed"
        self._refused = None
        try:
            outcome = await self.wizard.run(self.sink, resume=resume)
        except Refused as refused:
            self._refused = refused.code
            self.state = replace(self.state, problem=refused.problem)
        if self.state.ended is None:
            self.state = replace(self.state, ended=self.clock(), outcome=outcome)
        self.call_later(self.run_ended)

    def run_ended(self) -> None:
        """Show Done after a good end; a dialog that is open gets its answer first, so that no key means two things."""
        from flywizard.tui.screens.deploy import DeployScreen
        from flywizard.tui.screens.dialogs import Conversation

        if isinstance(self.screen, Conversation):
            self.screen.run_ended(self.state.outcome)
        if self.state.outcome in ("done", "nothing-to-do") and isinstance(self.screen, DeployScreen):
            self.show("done")

    def sink(self, event: Event) -> None:
        """Take one event of the run: lines into the book, all else into the state."""
        if isinstance(event, StepOutput):
            self.book.add(event, self.wall())
        else:
            self.state = reduce(self.state, event, self.clock())

    async def with_terminal(self, run: Callable[[], Awaitable[T]]) -> T:
        """Run something that needs the terminal for itself, and come back to the screen."""
        with self._suspended():
            return await run()

    @contextlib.contextmanager
    def _suspended(self) -> Iterator[None]:
        from textual.app import SuspendNotSupported

        with contextlib.ExitStack() as stack:
            with contextlib.suppress(SuspendNotSupported):
                stack.enter_context(self.suspend())
            yield
        self.refresh(layout=True)

    # -- the ways out

    def finish(self, code: int | None = None) -> None:
        """Leave with ``code``, or with the code of the last run's outcome."""
        own = EXIT_BY_OUTCOME[self.state.outcome] if self._refused is None else self._refused
        self.exit(own if code is None else code)

    def action_interrupt(self) -> None:
        """Ctrl+C: ask; while the question is open, force."""
        from flywizard.tui.screens.dialogs import Conversation, Leave

        if isinstance(self.screen, Conversation | Leave):
            self._force()
        elif self.state.running:
            self._converse()
        else:
            self._ask_leave(INTERRUPTED)

    def action_leave(self) -> None:
        """ctrl+q: during a run the conversation of Ctrl+C, else a question where something could be lost."""
        from flywizard.tui.screens.dialogs import Conversation, Leave

        if isinstance(self.screen, Conversation | Leave):
            return
        if self.state.running:
            self._converse()
        elif self.state.ended is not None or isinstance(self.screen, HomeScreen):
            self.finish()
        else:
            self._ask_leave(0)

    async def action_quit(self) -> None:
        """Quit, as the palette calls it."""
        self.action_leave()

    @work(group="converse", exclusive=True, description="ask how to stop")
    async def _converse(self) -> None:
        from flywizard.tui.screens.dialogs import Conversation

        running = [s.info.title for s in self.state.steps if s.status in ("running", "waiting")]
        kind = await self.push_screen_wait(Conversation(running))
        if kind is None or kind == "keep" or not self.state.running:
            return
        await self.wizard.stop(kind)
        if kind == "leave":
            self.exit(INTERRUPTED)
        elif isinstance(self.screen, Frame):
            self.screen.say("stops when this step is done…" if kind == "after-step" else "stopping…")

    @work(group="converse", exclusive=True, description="ask before leaving")
    async def _ask_leave(self, code: int) -> None:
        from flywizard.tui.screens.dialogs import Leave

        ended = self.state.ended is not None
        text = (
            "What was created stands; `flywizard resume` goes on from there."
            if ended
            else "Nothing has been changed. Your answers so far are kept; secrets stay where they are."
        )
        if await self.push_screen_wait(Leave(text)):
            self.finish(code if not ended or code else None)

    def _force(self) -> None:
        if not self._forcing:
            self._forcing = True
            self._stop_and_exit("now", INTERRUPTED)

    @work(group="exit", description="stop and leave")
    async def _stop_and_exit(self, kind: str, code: int) -> None:
        """Tell the wizard, wait a moment, give the terminal back."""
        with contextlib.suppress(TimeoutError):
            if self.state.running:
                await asyncio.wait_for(self.wizard.stop("leave" if kind == "leave" else "now"), STOP_LIMIT)
        self.exit(code)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        ways: list[tuple[str, Callable[[], None]]] = [
            ("SIGTERM", lambda: self._signalled(143)),
            ("SIGHUP", lambda: self._signalled(129)),
            ("SIGINT", self.action_interrupt),
        ]
        for name, handler in ways:
            number = getattr(signal, name, None)
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                if number is not None:
                    loop.add_signal_handler(number, handler)
        if terminal_stands():
            self.set_interval(TERMINAL_LOOK, self._look_at_terminal)

    def _look_at_terminal(self) -> None:
        # A process outside the terminal's session gets no SIGHUP, and Textual reads the end of input for ever.
        if not terminal_stands():
            self._signalled(129)

    def _signalled(self, code: int) -> None:
        if not self._forcing:
            self._forcing = True
            self._stop_and_exit("leave", code)

    # -- help

    def action_help(self) -> None:
        """Show all keys."""
        from flywizard.tui.keys import HELP
        from flywizard.tui.screens.dialogs import Dialog, Reader

        if not isinstance(self.screen, Dialog):
            self.push_screen(Reader("Keys", HELP, colouring="plain"))

    def action_show_log_path(self) -> None:
        """Show where the full log of the run is."""
        from flywizard.tui.screens.dialogs import Dialog, Reader

        if not isinstance(self.screen, Dialog):
            path = self.wizard.log_path()
            self.push_screen(
                Reader(
                    "The full log of the run", [path, "", "Secrets are masked in it; only you can read it."]
                )
            )

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the palette's commands; each has a key of its own as well, save the themes."""
        yield SystemCommand("Help: all keys (F1)", "Show every key", self.action_help)
        yield SystemCommand(
            "Where is the log? (ctrl+l)", "Show the path of the full log", self.action_show_log_path
        )
        yield SystemCommand("Quit (ctrl+q)", "Leave; a run asks first", self.action_leave)
        if isinstance(screen, Frame):
            for key, words, action in screen.key_hints():
                if action.startswith("screen."):
                    yield SystemCommand(
                        f"{palette_title(words)} ({key})",
                        "On this screen",
                        lambda action=action: self.call_later(self.run_action, action, screen),
                    )
        for name, words in (
            ("flywizard", "dark"),
            ("flywizard-light", "light"),
            ("ansi-dark", "the terminal's own colours, dark"),
            ("ansi-light", "the terminal's own colours, light"),
        ):
            yield SystemCommand(f"Colours: {words}", "Change the theme", lambda name=name: self._use(name))

    def _use(self, theme: str) -> None:
        self.theme = theme


def run_app(
    wizard: Wizard,
    start: Page | None = None,
    *,
    mouse: bool = True,
    on_crash: Callable[[str], str] = lambda report: report,
    theme: str = "flywizard",
) -> int:
    """Show the wizard until the user leaves; return the exit code of the contract.

    ``on_crash`` takes a crash report without local variables, keeps it, and returns the redacted text to print.
    After a finished run the summary is written to stdout, after a stopped one what to do next to stderr.
    """
    app = FlywizardApp(wizard, start, on_crash=on_crash, theme=theme)

    async def show() -> int:
        try:
            value = await app.run_async(mouse=mouse)
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wizard.close(), STOP_LIMIT)
        return value if isinstance(value, int) else app.return_code or 0

    code = asyncio.run(show())
    with contextlib.suppress(OSError):
        say_goodbye(app.state, app.wizard, code)
    let_go_of_lost_streams()
    return code
