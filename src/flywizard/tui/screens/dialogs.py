"""Owns the dialogs: consent, a value, a choice from a list, the Ctrl+C conversation, and texts to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from flywizard.fronts import Choice, StopKind
from flywizard.tui.look import DIM, STRONG, block, fit, joined, line
from flywizard.tui.screens.frame import PAGES_CSS
from flywizard.tui.widgets.entry import Entry
from flywizard.tui.widgets.line_view import LineView, Parts
from flywizard.tui.widgets.press import Press

T = TypeVar("T")
Colouring: TypeAlias = Literal["plain", "diff", "commands"]


class Dialog(ModalScreen[T | None]):
    """A dialog that Esc closes without an answer."""

    CSS_PATH = PAGES_CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", show=False, id="dialog-close"),
        Binding("left,up", "app.focus_previous", "Before", show=False, id="dialog-before"),
        Binding("right,down", "app.focus_next", "Next", show=False, id="dialog-next"),
    ]

    def action_close(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """Yes or no; the safe answer has the focus."""

    AUTO_FOCUS = "#no"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes", show=False, id="confirm-yes"),
        Binding("n", "close", "No", show=False, id="confirm-no"),
    ]

    def __init__(self, title: str, texts: Sequence[str], *, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._title, self._texts, self._yes, self._no = title, texts, yes, no

    def compose(self) -> ComposeResult:
        """Title, what is asked, two buttons."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(line(self._title), STRONG), classes="dialog-title")
            yield Static(joined([Content(block(text)) for text in self._texts]), classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                yield Press(self._no, "no", primary=True)
                yield Press(self._yes, "yes")

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss(True)

    @on(Press.Pressed)
    def _pressed(self, event: Press.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class Prompt(Dialog[str]):
    """A value; a secret one is never shown."""

    AUTO_FOCUS = "Input"

    def __init__(self, title: str, *, value: str = "", secret: bool = False) -> None:
        super().__init__()
        self._title, self._value, self._secret = title, value, secret

    def compose(self) -> ComposeResult:
        """Title and input."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(line(self._title), STRONG), classes="dialog-title")
            yield Entry(self._value, secret=self._secret)
            yield Static(Content.styled("enter takes it · esc leaves it", DIM), classes="dialog-foot")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value or None)


class Pick(Dialog[str]):
    """One of many choices, narrowed by typing."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="pick-up"),
        Binding("down", "move(1)", "Down", show=False, id="pick-down"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], value: str) -> None:
        super().__init__()
        self._title, self._choices, self._value = title, choices, value

    def compose(self) -> ComposeResult:
        """Title, filter, list."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled(line(self._title), STRONG), classes="dialog-title")
            yield Entry(placeholder="type to narrow the list")
            options = OptionList(compact=True)
            options.can_focus = False
            yield options
            yield Static(Content.styled("enter chooses · esc leaves it", DIM), classes="dialog-foot")

    def on_mount(self) -> None:
        """Fill the list."""
        self._fill("")

    def _fill(self, words: str) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        wanted = words.lower()
        shown = [c for c in self._choices if wanted in f"{c.value} {c.label} {c.detail}".lower()]
        width = max((len(c.label) for c in shown), default=0) + 2
        for choice in shown:
            prompt = Content.assemble(
                fit(choice.label, min(width, 34)),
                (line(choice.disabled or choice.detail), DIM),
                (f"  {line(choice.price)}" if choice.price else "", DIM),
            )
            options.add_option(
                Option(prompt, id=f"v{self._choices.index(choice)}", disabled=bool(choice.disabled))
            )
        at = next((i for i, c in enumerate(shown) if c.value == self._value and not c.disabled), None)
        if at is None:
            at = next((i for i, c in enumerate(shown) if not c.disabled), None)
        options.highlighted = at

    def action_move(self, step: int) -> None:
        """Move in the list while the keys go to the filter."""
        options = self.query_one(OptionList)
        if step < 0:
            options.action_cursor_up()
        else:
            options.action_cursor_down()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(OptionList).action_select()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._choices[int((event.option_id or "v0")[1:])].value)


STOP_CHOICES: tuple[tuple[StopKind, str, str], ...] = (
    ("keep", "Keep going", "as if nothing was asked"),
    ("after-step", "Stop after this step", "what runs now ends first"),
    ("now", "Stop now", "what was sent may still happen"),
    ("leave", "Leave it running", "what runs now ends by itself"),
)


class Conversation(Dialog[StopKind]):
    """Ctrl+C during a run; the second Ctrl+C forces."""

    AUTO_FOCUS = "#stop-keep"

    def __init__(self, running: Sequence[str]) -> None:
        super().__init__()
        self._titles = running

    def compose(self) -> ComposeResult:
        """What runs, and the four ways."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled("Stop the run?", STRONG), classes="dialog-title")
            text = "running now: " + ", ".join(line(title) for title in self._titles) if self._titles else ""
            yield Static(Content.styled(text, DIM), classes="dialog-text")
            for kind, label, detail in STOP_CHOICES:
                with Horizontal(classes="stop-line"):
                    yield Press(label, f"stop-{kind}", primary=kind == "keep")
                    yield Static(Content.styled(detail, DIM), classes="stop-detail")
            yield Static(
                Content.styled("enter chooses · esc keeps going · ctrl+c again stops at once", DIM),
                classes="dialog-foot",
            )

    def on_mount(self) -> None:
        """Leave no gap where nothing runs at the moment."""
        self.query_one(".dialog-text").display = bool(self._titles)

    def run_ended(self, outcome: str | None) -> None:
        """Say that there is nothing left to stop; whatever is chosen closes the dialog and does no more."""
        words = "all steps are done" if outcome in ("done", "nothing-to-do") else "it stopped by itself"
        said = self.query_one(".dialog-text", Static)
        said.update(
            Content.assemble(("The run ended meanwhile: ", STRONG), f"{words}. Any choice closes this.")
        )
        said.display = True

    @on(Press.Pressed)
    def _pressed(self, event: Press.Pressed) -> None:
        kinds: dict[str, StopKind] = {f"stop-{kind}": kind for kind, _, _ in STOP_CHOICES}
        self.dismiss(kinds[event.button.id or "stop-keep"])


class Leave(Dialog[bool]):
    """Ctrl+C or ctrl+q where nothing runs."""

    AUTO_FOCUS = "#leave"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,y", "leave", "Leave", show=False, id="leave-yes")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """What leaving means, two buttons."""
        with Vertical(classes="dialog"):
            yield Static(Content.styled("Leave flywizard?", STRONG), classes="dialog-title")
            yield Static(Content(block(self._text)), classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                yield Press("Leave", "leave", primary=True)
                yield Press("Stay", "stay")

    def action_leave(self) -> None:
        """Leave."""
        self.dismiss(True)

    @on(Press.Pressed)
    def _pressed(self, event: Press.Pressed) -> None:
        self.dismiss(event.button.id == "leave")


class TextLines(LineView):
    """Lines to read, coloured by their first sign."""

    def __init__(self, lines: Sequence[str], colouring: Colouring) -> None:
        super().__init__()
        self.lines = tuple(line(text) for text in lines)
        self.colouring = colouring

    def on_mount(self) -> None:
        """Take the number of lines."""
        self.measure()

    def count(self) -> int:
        """Return the number of lines."""
        return len(self.lines)

    def widest(self) -> int:
        """Return the width to scroll over."""
        return max((len(text) for text in self.lines), default=0)

    def parts(self, index: int) -> Parts:
        """Draw one line."""
        text = self.lines[index]
        match self.colouring:
            case "diff":
                if text.startswith(("+++", "---", "──")):
                    return [(text, "strong")]
                role = {"+": "good", "-": "bad", "@": "sky", "\\": "dim"}.get(text[:1], "dim")
                return [(text, role)]
            case "commands":
                if text.startswith("$ "):
                    return [("$ ", "sky"), (text[2:], "")]
                return [(text, "dim")]
            case "plain":
                return [(text, "")]


class Reader(Dialog[None]):
    """Texts to read: files as diffs, commands, help."""

    AUTO_FOCUS = "TextLines"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter,f1,question_mark", "close", "Close", show=False, id="reader-close"),
        Binding("up", "scroll('up')", "Up", show=False, id="reader-up"),
        Binding("down", "scroll('down')", "Down", show=False, id="reader-down"),
    ]

    def __init__(
        self, title: str, lines: Sequence[str], *, colouring: Colouring = "plain", foot: str = ""
    ) -> None:
        super().__init__()
        self._title, self._lines, self._colouring, self._foot = title, lines, colouring, foot

    def compose(self) -> ComposeResult:
        """Title, lines, foot."""
        with Vertical(classes="dialog reader"):
            yield Static(Content.styled(line(self._title), STRONG), classes="dialog-title")
            yield TextLines(self._lines, self._colouring)
            foot = " · ".join(x for x in (self._foot, "↑↓ scroll", "esc closes") if x)
            yield Static(Content.styled(line(foot), DIM), classes="dialog-foot")

    def action_scroll(self, way: str) -> None:
        """Scroll by one line."""
        view = self.query_one(TextLines)
        view.scroll_relative(y=-1 if way == "up" else 1, animate=False)
