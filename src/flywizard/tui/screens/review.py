"""Owns the Review: every change with verb, name, why and price, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from flywizard.fronts import Page, ReviewRow, ReviewView
from flywizard.tui import words
from flywizard.tui.look import BAD, DIM, GOOD, STRONG, WARN, line, span, ticked
from flywizard.tui.screens.dialogs import Confirm, Prompt, Reader
from flywizard.tui.screens.frame import PAGES_CSS, Frame, buttons
from flywizard.tui.widgets.press import Press
from flywizard.tui.widgets.table import ReviewHead, ReviewTable


class ReviewScreen(Frame):
    """The Review; the Deploy button has the focus."""

    CSS_PATH = PAGES_CSS
    AUTO_FOCUS = "#deploy"
    page: Page | None = "review"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", show=False, id="review-back"),
        Binding("f", "files", "Files", show=False, id="review-files"),
        Binding("c", "copy", "Copy commands", show=False, id="review-copy"),
        Binding("r,f5", "again", "Look again", show=False, id="review-again"),
        Binding("s", "save", "Save the plan", show=False, id="review-save"),
        Binding("d,enter", "deploy", "Deploy", show=False, id="review-deploy"),
        Binding("up", "row(-1)", "Row up", show=False, id="review-up"),
        Binding("down", "row(1)", "Row down", show=False, id="review-down"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._review: ReviewView | None = None
        self._wanted = False
        self._said: Content | None = None

    def body(self) -> Iterable[Widget]:
        """Heading, table, commands of the row, total, buttons."""
        yield Static(Content.styled("Review: nothing has been changed yet", STRONG), id="title")
        yield Static(Content.styled("looking at what is there…", DIM), id="lede")
        yield ReviewHead(id="review-head")
        yield ReviewTable()
        yield Static(id="review-notes", classes="part")
        yield Static(id="blocked")
        yield Static(id="commands")
        yield Static(id="total")
        yield buttons(
            Press("Back", "back"),
            right=[Press("Dry run…", "dry-run"), Press("Deploy", "deploy", primary=True)],
        )

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the keys of the Review."""
        blocked = self._review is not None and bool(self._review.blocked)
        return [
            *([] if blocked else [("enter", "deploy", "screen.deploy")]),
            ("r", "look again", "screen.again"),
            ("↑↓", "rows", ""),
            ("f", "files", "screen.files"),
            ("c", "copy", "screen.copy"),
            ("s", "save plan", "screen.save"),
            ("esc", "back", "screen.back"),
            ("F1", "help", "app.help"),
        ]

    def on_mount(self) -> None:
        """Probe, plan and price."""
        self.query_one("#commands").display = False
        self._load()

    @work(group="review", exclusive=True, description="probe, plan and price")
    async def _load(self, *, again: bool = False) -> None:
        if again:
            await self.wizard.act("review", "recheck")
        review = await self.wizard.review()
        if not self.stands():
            return
        self._review = review
        self.query_one(ReviewTable).draw(review.rows)
        self._draw(review)
        self.draw_frame()
        if self._wanted:
            self.call_later(self.action_deploy)

    def _draw(self, review: ReviewView) -> None:
        parts = [(line(review.summary), DIM)]
        if review.consents:
            parts += [(" · ", DIM), (str(len(review.consents)), STRONG), (" need your consent", DIM)]
        self.query_one("#lede", Static).update(Content.assemble(*parts))
        notes = self.query_one("#review-notes", Static)
        notes.update(words.notes(review.notes))
        notes.display = bool(review.notes)
        total = [span(review.total, STRONG)]
        if review.idle:
            total += [("  ", ""), span(review.idle, DIM)]
        self.query_one("#total", Static).update(Content.assemble(*total))
        self.query_one("#deploy", Press).set_class(bool(review.blocked), "-blocked")
        blocked = self.query_one("#blocked", Static)
        blocked.display = bool(review.blocked)
        blocked.update(Content.assemble(("✗ ", BAD), *ticked(review.blocked, BAD)))
        self.query_one("#reason", Static).update(self._said or Content(""))

    def action_again(self) -> None:
        """Probe, plan and price once more."""
        self._review, self._said = None, None
        self.query_one("#lede", Static).update(Content.styled("looking at what is there…", DIM))
        self.query_one("#reason", Static).update("")
        self._load(again=True)

    def _say(self, ok: bool, text: str) -> None:
        self._said = Content.assemble(("✓ ", GOOD) if ok else ("! ", WARN), (line(text), DIM))
        self.query_one("#reason", Static).update(self._said)

    @on(ReviewTable.Moved)
    def _moved(self) -> None:
        row = self.query_one(ReviewTable).row
        box = self.query_one("#commands", Static)
        box.display = row is not None
        if row is None:
            return
        room = 1 if self.app.size.height < 30 else 3
        if not row.commands:
            text = (
                "the file is written as `f` shows it"
                if row.what == "file"
                else "no command: looked at, not changed"
            )
            box.update(Content.styled(text, DIM))
            return
        more = len(row.commands) - room
        content = words.commands(
            row.commands[:room], "" if room == 1 else f"{row.verb} {row.name}: this runs"
        )
        box.update(content + Content.styled(f"  (+{more} more)" if more > 0 else "", DIM))

    @on(ReviewTable.Opened)
    def _details(self) -> None:
        row = self.query_one(ReviewTable).row
        if row is not None:
            self.app.push_screen(
                Reader(f"{row.verb} {row.what} {row.name}", details(row), colouring="commands")
            )

    def action_row(self, step: int) -> None:
        """Move the table's cursor also while a button has the focus."""
        self.query_one(ReviewTable).action_move(step)

    def action_files(self) -> None:
        """Show the files that will be written, as diffs."""
        if self._review is None:
            return
        lines: list[str] = []
        for file in self._review.files:
            lines += [f"── {file.verb} {file.path}", *file.diff.splitlines(), ""]
        self.app.push_screen(
            Reader("Files that will be written", lines or ["no file changes"], colouring="diff")
        )

    def _commands(self) -> list[str]:
        if self._review is None:
            return []
        return [command for row in self._review.rows for command in row.commands]

    @on(Press.Pressed, "#dry-run")
    def _dry_run(self) -> None:
        lines = [
            line_ for row in (self._review.rows if self._review else ()) for line_ in [*details(row), ""]
        ]
        self.app.push_screen(Reader("What would run, in this order", lines, colouring="commands"))

    def action_copy(self) -> None:
        """Copy all commands, and show them, since nobody knows whether the terminal took them."""
        commands = self._commands()
        self.app.copy_to_clipboard("\n".join(commands))
        self.app.push_screen(
            Reader(
                "All commands",
                [f"$ {c}" for c in commands],
                colouring="commands",
                foot="sent to the terminal's clipboard",
            )
        )

    @work(group="dialog", exclusive=True, description="save the plan")
    async def action_save(self) -> None:
        """Save the plan file where the user wants it."""
        path = await self.app.push_screen_wait(Prompt("Save the plan as", value="flywizard.plan.json"))
        if path is None:
            return
        try:
            saved = await self.wizard.save_plan(path)
        except OSError as error:
            self._say(False, f"not saved: {error.strerror or 'the file could not be written'}")
        else:
            self._say(True, f"saved as `{saved}`; apply it with `flywizard apply {saved}`")

    @on(Press.Pressed, "#deploy")
    @work(group="dialog", exclusive=True, description="confirm and deploy")
    async def action_deploy(self) -> None:
        """Begin; what destroys or touches adopted things is asked apart."""
        review = self._review
        if review is None:
            self._wanted = True
            self.query_one("#reason", Static).update(Content.styled("goes on when the look is done", DIM))
            return
        self._wanted = False
        if review.blocked:
            self.app.bell()
            return
        if review.consents and not await self.app.push_screen_wait(
            Confirm(
                "This needs your consent",
                [f"! {text}" for text in review.consents],
                yes="Yes, deploy",
                no="No, go back",
            )
        ):
            return
        self.flywizard.deploy(resume=False)

    @on(Press.Pressed, "#back")
    def action_back(self) -> None:
        """Go back to Secrets; nothing is lost."""
        self.flywizard.show("secrets")


def details(row: ReviewRow) -> list[str]:
    """Return everything about a row as lines."""
    head = f"{row.verb} {row.what} {row.name}"
    extra = [f"why: {row.why}"] if row.why else []
    if row.price:
        extra.append(f"price: {row.price} a month")
    if row.irreversible:
        extra.append("this cannot be undone")
    return [head, *(f"  {text}" for text in extra), *(f"$ {c}" for c in row.commands)]
