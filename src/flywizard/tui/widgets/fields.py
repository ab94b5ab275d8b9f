"""Owns one question on a form page: label, control, source, error, and the messages about its answer."""

from __future__ import annotations

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from flywizard.fronts import Field
from flywizard.tui.look import BAD, DIM, block, fit, line
from flywizard.tui.widgets.choice import ChoiceList, Chosen, Picker, Toggle
from flywizard.tui.widgets.entry import Entry

LISTED = 5
"""Up to this many choices that say something about themselves are listed in place."""


def listed(field: Field) -> bool:
    """Tell whether the choices are shown in place rather than behind a row."""
    return (
        field.kind == "choice"
        and len(field.choices) <= LISTED
        and sum(bool(c.detail) for c in field.choices) >= 2
        and not field.readonly
    )


def shape(field: Field) -> tuple[object, ...]:
    """Return what decides the widgets of a field; while it stays, the widgets stay."""
    return (field.id, field.kind, field.group, field.readonly, listed(field), field.label)


class Edited(Message):
    """The text of a field changed, or a choice was made."""

    def __init__(self, row: FieldRow, value: str, *, settled: bool) -> None:
        super().__init__()
        self.row = row
        self.value = value
        self.settled = settled
        """The user left the field, or there is nothing to leave (a choice)."""


class Submitted(Message):
    """Enter was pressed in a field."""

    def __init__(self, row: FieldRow, value: str) -> None:
        super().__init__()
        self.row = row
        self.value = value


class Focused(Message):
    """A field got the focus."""

    def __init__(self, row: FieldRow) -> None:
        super().__init__()
        self.row = row


class FieldRow(Vertical):
    """One question."""

    def __init__(self, field: Field, label_width: int, source_width: int) -> None:
        super().__init__(classes="field-row")
        self.field = field
        self._label_width = label_width
        self._drawn = field.value
        self._control: Widget = self._make()
        self._source = Static(classes="source")
        self._source.styles.width = source_width
        self._error = Static(classes="error")

    def _make(self) -> Widget:
        field = self.field
        if field.readonly:
            return Static(Content(line(field.value)), classes="control readonly")
        match field.kind:
            case "choice":
                return (
                    ChoiceList(field.choices, field.value)
                    if listed(field)
                    else Picker(field.choices, field.value)
                )
            case "bool":
                return Toggle(field.value)
            case "secret":
                return Entry(placeholder=self._known(), secret=True, classes="control field")
            case "multiline":
                area = TextArea(
                    block(field.value), compact=True, tab_behavior="focus", classes="control field multiline"
                )
                area.set_reactive(TextArea.cursor_blink, False)
                return area
            case "text" | "list" | "int":
                return Entry(line(field.value), digits=field.kind == "int", classes="control field")

    def _known(self) -> str:
        return "•••• known; type to replace it" if self.field.value else ""

    @property
    def control(self) -> Widget:
        """Return the widget that takes the keys."""
        return self._control

    @property
    def editing(self) -> bool:
        """Tell whether the keys go into this field."""
        return self._control.has_focus

    def compose(self) -> ComposeResult:
        """Label and control in one row, the error below."""
        if isinstance(self._control, ChoiceList):
            if self.field.label:
                yield Static(Content.styled(line(self.field.label), DIM), classes="above")
            yield self._control
        else:
            with Horizontal(classes="field-line"):
                label = Static(Content.styled(fit(self.field.label, self._label_width), DIM), classes="label")
                label.styles.width = self._label_width + 2
                yield label
                yield self._control
                yield self._source
        yield self._error

    def draw(self, field: Field, *, show_error: bool) -> None:
        """Show the field as it stands; what the user types at this moment is left alone."""
        self.field = field
        control = self._control
        match control:
            case ChoiceList() | Picker():
                control.draw(field.choices, field.value)
            case Toggle():
                control.draw(field.value)
            case Input() if field.kind == "secret":
                control.placeholder = self._known()
            case Input():
                if field.value != self._drawn and not control.has_focus:
                    with control.prevent(Input.Changed):
                        control.value = line(field.value)
            case TextArea():
                if field.value != self._drawn and not control.has_focus:
                    with control.prevent(TextArea.Changed):
                        control.text = block(field.value)
            case Static():
                control.update(Content(line(field.value)))
        self._drawn = field.value
        self._source.update(Content.styled(line(field.source), DIM))
        error = self._error
        words = field.error if show_error else ""
        error.display = bool(words)
        if words:
            indent = 0 if isinstance(control, ChoiceList) else self._label_width + 2
            error.styles.padding = (0, 0, 0, indent)
            error.update(Content.assemble(("✗ ", BAD), (line(words), BAD)))

    def take_secret(self) -> str:
        """Return what was typed into a secret field and forget it here."""
        control = self._control
        if not isinstance(control, Input) or self.field.kind != "secret":
            return ""
        value = control.value
        with control.prevent(Input.Changed):
            control.value = ""
        return value

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _typed(self, event: Input.Changed | TextArea.Changed) -> None:
        event.stop()
        text = event.value if isinstance(event, Input.Changed) else event.text_area.text
        if self.field.kind == "secret" or text != self._drawn:
            self.post_message(Edited(self, text, settled=False))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(Submitted(self, event.value))

    @on(Chosen)
    def _chosen(self, event: Chosen) -> None:
        event.stop()
        self.post_message(Edited(self, event.value, settled=True))

    def on_descendant_focus(self) -> None:
        """Tell the screen, which shows the help of this field."""
        self.post_message(Focused(self))

    def on_descendant_blur(self) -> None:
        """Leaving a field settles its text."""
        control = self._control
        if isinstance(control, Input):
            self.post_message(Edited(self, control.value, settled=True))
        elif isinstance(control, TextArea):
            self.post_message(Edited(self, control.text, settled=True))


def label_width(fields: tuple[Field, ...]) -> int:
    """Return the common width of the labels in cells."""
    return min(28, max((cell_len(f.label) for f in fields if not listed(f)), default=0))


SOURCES = (12, 26)
"""Fewest and most cells of the column that says where an answer comes from."""


def source_width(fields: tuple[Field, ...], width: int) -> int:
    """Return the cells of the sources' column in a form of ``width`` cells."""
    fewest, most = SOURCES
    longest = max((cell_len(f.source) for f in fields if not listed(f)), default=0)
    return max(fewest, min(longest, most, max(fewest, width * 2 // 7)))
