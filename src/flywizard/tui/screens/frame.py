"""Owns what all screens share: header, rail, body, key bar, and the message for a window that is too small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from flywizard.fronts import Page, Wizard
from flywizard.tui.look import DIM, STRONG, line
from flywizard.tui.widgets.bars import HeaderBar, KeyBar, Rail
from flywizard.tui.widgets.press import Press

if TYPE_CHECKING:
    from flywizard.tui.app import FlywizardApp

PAGES_CSS = "../pages.tcss"
"""Styles beyond the first frame, relative to the screens."""
FLOOR = (60, 16)
"""The smallest window in which everything can be reached."""
WIDTHS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide")]
HEIGHTS = [(0, "-flat"), (16, "-short"), (24, "-medium"), (30, "-tall")]
"""Breakpoints in cells and the classes that a screen has from there on."""


class Frame(Screen[None]):
    """A screen with the frame around its body.

    Textual runs the ``on_…`` handlers of all classes of a screen, so those of subclasses do not call these.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Help", show=False, id="help-question"),
    ]
    page: Page | None = None

    @property
    def flywizard(self) -> FlywizardApp:
        """Return the app by its own type."""
        from flywizard.tui.app import FlywizardApp

        app = self.app
        assert isinstance(app, FlywizardApp)  # noqa: S101  # narrows the type; no other app shows these screens
        return app

    @property
    def wizard(self) -> Wizard:
        """Return the headless wizard."""
        return self.flywizard.wizard

    def compose(self) -> ComposeResult:
        """Frame and body."""
        yield HeaderBar()
        with Horizontal(id="frame"):
            yield Rail()
            with Vertical(id="body"):
                yield from self.body()
        yield KeyBar()
        yield Static(id="floor")

    def body(self) -> Iterable[Widget]:
        """Return the widgets of the body."""
        raise NotImplementedError

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the keys to show: (key, words, action to run on a click, or empty)."""
        return []

    def on_mount(self) -> None:
        """Draw the frame."""
        self.draw_frame()

    def on_resize(self, event: Resize) -> None:
        """Say what is missing when the window is below the floor."""
        size = self.app.size
        self.query_one("#floor", Static).update(
            Content.assemble(
                ("This window is too small.", STRONG),
                f"\n{FLOOR[0]}×{FLOOR[1]} is needed, it is {size.width}×{size.height}."
                "\nMake it larger; nothing is lost.\n\n`flywizard --plain` needs no window.",
            )
        )

    def say(self, text: str) -> None:
        """Show a sentence beside the buttons."""
        for reason in self.query("#reason").results(Static):
            reason.update(Content.styled(line(text), DIM))

    def stands(self) -> bool:
        """Tell whether the screen is shown, maybe below a dialog; one that was left loses its widgets bit by bit."""
        return self in self.app.screen_stack

    def draw_frame(self) -> None:
        """Draw header, rail and keys anew."""
        if not self.stands():
            return
        header, rail = self.wizard.header(), self.flywizard.rail(self.page)
        self.query_one(HeaderBar).draw(header, self.page, rail)
        self.query_one(Rail).draw(header, rail)
        self.query_one(KeyBar).draw(self.key_hints())


def buttons(*left: Press | Widget, right: Iterable[Press] = ()) -> Horizontal:
    """Return the row of buttons at the bottom of a body: some on the left, some on the right."""
    return Horizontal(*left, Static(id="reason"), *right, id="buttons")
