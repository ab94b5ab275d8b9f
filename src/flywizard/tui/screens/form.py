"""Owns the form pages, Prerequisites to Secrets: one screen drawn from ``wizard.view(page)``."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea
from textual.worker import Worker

from flywizard.fronts import PAGES, Action, Check, Page
from flywizard.tui.look import DIM, joined, line
from flywizard.tui.screens.dialogs import Confirm, Pick, Prompt
from flywizard.tui.screens.form_drawing import FormDrawing
from flywizard.tui.widgets.choice import ChoiceList, Picker
from flywizard.tui.widgets.fields import Edited, FieldRow, Focused, Submitted
from flywizard.tui.widgets.press import Press
from flywizard.vault import Secret

DEBOUNCE = 0.4
"""Seconds without a change before the checks run again."""


class FormScreen(FormDrawing):
    """The form pages; going to another page changes the body in place."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", show=False, id="form-next"),
        Binding("escape", "back", "Back", show=False, id="form-back"),
        Binding("f5", "again", "Check again", show=False, id="form-again"),
        Binding("pageup", "page(-1)", "Scroll up", show=False, id="form-up"),
        Binding("pagedown", "page(1)", "Scroll down", show=False, id="form-down"),
    ]

    def __init__(self, page: Page, field: str = "") -> None:
        super().__init__(page)
        self._wanted = field
        self._checker: Worker[None] | None = None
        self._debounce: Timer | None = None
        self._leaving = False
        self._round = 0

    def on_mount(self) -> None:
        """Draw what is known, then enter the page."""
        self.set_interval(1 / 6, self._spin)
        self._enter()

    def go(self, page: Page, field: str = "") -> None:
        """Change to another form page; ``field`` gets the focus there."""
        self.page, self._wanted = page, field
        self._shape, self._errors, self._result = None, {}, None
        self._checks, self._typing, self._busy = {}, "", ""
        self._go_on = self._leaving = False
        self._enter()

    @work(group="page", exclusive=True, description="enter the page")
    async def _enter(self) -> None:
        self._entering = True
        self._stop_checks()
        await self._redraw(focus=True)
        await self.wizard.enter(self.page)
        if not self.stands():
            return
        self._entering = False
        await self._redraw(focus=self.focused in (None, self._placed))
        self._wanted = ""
        self._start_checks()

    # -- checks

    @property
    def _waiting(self) -> bool:
        """Tell whether something is under way that Next should wait for."""
        running = self._checker is not None and not self._checker.is_finished
        return self._entering or running or self._debounce is not None or bool(self._busy)

    def _stop_checks(self) -> None:
        self._round += 1
        if self._debounce is not None:
            self._debounce.stop()
            self._debounce = None
        if self._checker is not None:
            self._checker.cancel()
            self._checker = None

    def _start_checks(self) -> None:
        self._stop_checks()
        self._checks, self._stale = {}, False
        self._round += 1
        self._checker = self._check(self.page, self._round)
        self.draw()

    @work(group="checks", exclusive=True, description="live checks of the page")
    async def _check(self, page: Page, number: int) -> None:
        def on_check(check: Check) -> None:
            if number == self._round and page == self.page:
                self._checks[check.id] = check
                self.draw()

        await self.wizard.check(page, on_check)
        self.call_later(self._checked, number)

    async def _checked(self, number: int) -> None:
        if number != self._round:
            return
        self._checker = None
        self._checks = {}
        await self._redraw()
        if self.focused is self._placed and (bad := next((f for f in self._view().fields if f.error), None)):
            self._focus_field(bad.id)
        if self._go_on and not self._waiting:
            self.action_next()

    def _check_soon(self) -> None:
        if self._debounce is not None:
            self._debounce.stop()
        self._stale = True
        self._debounce = self.set_timer(DEBOUNCE, self._start_checks)

    # -- answers

    def _answer(self, row: FieldRow, value: str) -> None:
        """Give an answer to the wizard when it differs; the text of the error is kept for its field."""
        field = row.field
        if field.kind == "secret":
            typed = row.take_secret()
            if not typed:
                return
            error = self.wizard.set(field.id, Secret(typed))
        elif value == field.value and not self._errors.get(field.id):
            return
        else:
            error = self.wizard.set(field.id, value)
        self._errors[field.id] = error
        self._result = None
        self._check_soon()

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        event.stop()
        row = event.row
        self._go_on = False
        if event.settled:
            self._answer(row, event.value)
            if self._typing == row.field.id:
                self._typing = ""
        else:
            self._typing = row.field.id
            if row.field.kind != "secret":
                self._answer(row, event.value)
        self.draw()

    @on(Submitted)
    def _submitted(self, event: Submitted) -> None:
        event.stop()
        self._answer(event.row, event.value)
        self._typing = ""
        self.draw()
        self.action_next()

    @on(Focused)
    def _focused(self, event: Focused) -> None:
        event.stop()
        field = event.row.field
        hint = "space opens the list" if isinstance(event.row.control, Picker) else ""
        if isinstance(event.row.control, ChoiceList):
            hint = "↑↓ choose"
        names = " · ".join(x for x in (hint, field.flag and f"`{field.flag}`", field.variable) if x)
        self.query_one("#help", Static).update(
            joined([Content.styled(line(field.help), DIM), Content.styled(line(names), DIM)])
        )
        self.draw_frame()

    @on(Picker.Opened)
    @work(group="dialog", exclusive=True, description="choose from a list")
    async def _pick(self, event: Picker.Opened) -> None:
        picker = event.picker
        value = await self.app.push_screen_wait(Pick("Choose", picker.choices, picker.value))
        if value is not None:
            picker.choose(value)

    # -- moving on and back

    @on(Press.Pressed, "#next")
    def action_next(self) -> None:
        """Go on, or say why not; while checks run, remember it."""
        if self._leaving:
            return
        if self._debounce is not None:
            self._start_checks()
        if self._waiting:
            self._go_on = True
            self.draw()
            return
        self._go_on = False
        view = self._view()
        bad = [f for f in view.fields if self._errors.get(f.id) or f.error]
        if bad:
            self._focus_field(bad[0].id)
            self.draw()
            return
        if view.blocked:
            self.app.bell()
            missing = next((f for f in view.fields if f.required and not f.value and not f.readonly), None)
            if missing is not None:
                self._focus_field(missing.id)
            return
        self._leaving = True
        self._leave(self.page)

    @work(group="page", exclusive=True, description="keep the answers and go on")
    async def _leave(self, page: Page) -> None:
        errors = await self.wizard.leave(page)
        if not self.stands():
            return
        if errors:
            self._leaving = False
            self._errors = dict(errors)
            self._typing = ""
            await self._redraw()
            self._focus_field(next(iter(errors)))
            return
        self.call_later(self.flywizard.show, PAGES[PAGES.index(page) + 1])

    @on(Press.Pressed, "#back")
    def action_back(self) -> None:
        """Go back; answers stay."""
        self._stop_checks()
        at = PAGES.index(self.page)
        self.flywizard.show(PAGES[at - 1] if at else None)

    def action_page(self, step: int) -> None:
        """Scroll the form by a page."""
        form = self.query_one("#form", VerticalScroll)
        form.scroll_relative(y=step * max(1, form.size.height - 1), animate=False)

    # -- actions of the page

    def action_again(self) -> None:
        """Run the checks again, also while a text field has the focus."""
        again = self._again(self._view())
        if again is not None:
            self.action_do(again.id)

    def on_key(self, event: Key) -> None:
        """Run the action whose key was pressed; letters only where no text field has the focus."""
        if isinstance(self.focused, Input | TextArea) and event.is_printable:
            return
        for action in self._view().actions:
            if action.key and event.key != "enter" and action.key in (event.key, event.character):
                event.stop()
                event.prevent_default()
                self.action_do(action.id)
                return

    @on(Press.Pressed, ".action")
    def _action_pressed(self, event: Press.Pressed) -> None:
        self.action_do(event.button.name or "")

    def action_do(self, action_id: str) -> None:
        """Do one of the page's actions."""
        action = next((a for a in self._view().actions if a.id == action_id), None)
        if action is not None and not self._busy:
            self._act(action)

    @work(group="action", exclusive=True, description="an action of the page")
    async def _act(self, action: Action) -> None:
        value: str | Secret | None = None
        if action.consent and not await self.app.push_screen_wait(
            Confirm(action.label, [action.consent], yes=action.label, no="Not now")
        ):
            return
        if action.wants:
            secret = action.wants == "secret"
            typed = await self.app.push_screen_wait(Prompt(action.label, secret=secret))
            if typed is None:
                return
            value = Secret(typed) if secret else typed
            del typed
        page = self.page
        self._busy = f"{action.label}…"
        await self._redraw()
        run = partial(self.wizard.act, page, action.id, value)
        try:
            if action.terminal:
                result = await self.flywizard.with_terminal(run)
            else:
                result = await run()
        finally:
            self._busy = ""
        if not self.stands():
            return
        self._result = result
        if result.goto is not None and result.goto != page:
            self.call_later(self.flywizard.show, result.goto, result.field)
            return
        await self._redraw()
        self._start_checks()
