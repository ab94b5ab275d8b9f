"""Owns the form pages, Prerequisites to Secrets: one screen drawn from ``wizard.view(page)``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Key, Resize
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea
from textual.worker import Worker

from flywizard.fronts import PAGES, Action, ActionResult, Check, Field, Page, PageView
from flywizard.tui import words
from flywizard.tui.look import BAD, DIM, GOOD, STRONG, line, ticked
from flywizard.tui.screens.dialogs import Confirm, Pick, Prompt
from flywizard.tui.screens.frame import PAGES_CSS, Frame, buttons
from flywizard.tui.widgets.choice import ChoiceList, Picker
from flywizard.tui.widgets.fields import Edited, FieldRow, Focused, Submitted, label_width, shape
from flywizard.tui.widgets.press import Press
from flywizard.vault import Secret

DEBOUNCE = 0.4
"""Seconds without a change before the checks run again."""
AIRY = 4
"""Up to this many questions have a blank line between them."""


class FormScreen(Frame):
    """The form pages; going to another page changes the body in place."""

    CSS_PATH = PAGES_CSS
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", show=False, id="form-next"),
        Binding("escape", "back", "Back", show=False, id="form-back"),
        Binding("pageup", "page(-1)", "Scroll up", show=False, id="form-up"),
        Binding("pagedown", "page(1)", "Scroll down", show=False, id="form-down"),
    ]

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page: Page = page
        self._shape: tuple[object, ...] | None = None
        self._checks: dict[str, Check] = {}
        self._entering = False
        self._checker: Worker[None] | None = None
        self._debounce: Timer | None = None
        self._go_on = False
        self._busy = ""
        self._typing = ""
        self._errors: dict[str, str] = {}
        self._result: ActionResult | None = None
        self._drawing = False
        self._shown_problem = ""
        self._leaving = False

    # -- drawing

    def body(self) -> Iterable[Widget]:
        """Heading, the scrolling form, help, commands, buttons."""
        yield Static(id="title")
        yield Static(id="lede")
        yield VerticalScroll(id="form", can_focus=False)
        yield Static(id="help")
        yield Static(id="commands")
        yield buttons(Press("Back", "back"), right=[Press("Next", "next", primary=True)])

    def key_hints(self) -> list[tuple[str, str, str]]:
        """Return the page's own keys first."""
        own = [(a.key, a.label, f"screen.do('{a.id}')") for a in self._view().actions if a.key]
        return [
            ("enter", "next", "screen.next"),
            ("esc", "back", "screen.back"),
            *own[:3],
            ("F1", "help", "app.help"),
            ("^l", "log", "app.show_log_path"),
            ("^p", "commands", "app.command_palette"),
            ("^q", "quit", "app.leave"),
        ]

    def _view(self) -> PageView:
        return self.wizard.view(self.page)

    def on_mount(self) -> None:
        """Draw what is known, then enter the page."""
        super().on_mount()
        self.set_interval(1 / 6, self._spin)
        self._enter()

    def on_resize(self, event: Resize) -> None:
        """Lines are laid out by width."""
        super().on_resize(event)
        self.call_after_refresh(self.draw)

    def go(self, page: Page) -> None:
        """Change to another form page."""
        self.page = page
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
        self._entering = False
        await self._redraw(focus=True)
        self._start_checks()

    def draw(self) -> None:
        """Draw soon; several calls in a row draw once."""
        if not self._drawing and self.is_mounted:
            self._drawing = True
            self.call_later(self._redraw)

    async def _redraw(self, *, focus: bool = False) -> None:
        self._drawing = False
        view = self._view()
        new = (
            view.page,
            tuple(shape(f) for f in view.fields),
            bool(view.rows),
            tuple((a.id, a.label, a.key) for a in view.actions),
        )
        if new != self._shape:
            await self._rebuild(view)
            self._shape = new
            focus = True
        self._update(view)
        if focus:
            self._focus_first(view)
        self.draw_frame()

    async def _rebuild(self, view: PageView) -> None:
        """Make the widgets of the page; called when questions come or go, never while typing alone."""
        form = self.query_one("#form", VerticalScroll)
        with self.app.batch_update():
            await form.remove_children()
            made: list[Widget] = []
            width = label_width(view.fields)
            group = ""
            made.append(Static(classes="rows part"))
            for field in view.fields:
                if field.group != group:
                    group = field.group
                    made.append(
                        Static(
                            Content.styled(line(group), STRONG),
                            classes="group -later" if len(made) > 1 else "group",
                        )
                    )
                made.append(FieldRow(field, width))
            made.append(Static(classes="notes part"))
            made.append(Static(classes="checks part"))
            made.append(Static(classes="result part"))
            if view.actions:
                made.append(
                    Horizontal(
                        *(
                            Press(f"{a.label} ({a.key})" if a.key else a.label, name=a.id, classes="action")
                            for a in view.actions
                        ),
                        classes="actions",
                    )
                )
            made.append(Static(classes="problem part"))
            await form.mount_all(made)
            form.set_class(len(view.fields) <= AIRY, "-airy")
            form.scroll_home(animate=False)

    def _update(self, view: PageView) -> None:
        title = self.query_one("#title", Static)
        title.update(Content.styled(line(view.title), STRONG))
        lede = self.query_one("#lede", Static)
        text = "looking…" if self._entering and words.blank(view) else view.lede
        lede.display = bool(text)
        lede.update(Content.assemble(*ticked(text, DIM, DIM)))
        by_id = {f.id: f for f in view.fields}
        for row in self.query(FieldRow):
            field = by_id.get(row.field.id)
            if field is not None:
                row.draw(self._with_error(field), show_error=field.id != self._typing)
        form = self.query_one("#form", VerticalScroll)
        width = max(20, form.scrollable_content_region.width or 60)
        self._part("rows", words.table(view.columns, view.rows, width))
        self._part("notes", words.notes(view.notes))
        self._draw_checks(view, width)
        result = self._result
        if self._busy:
            self._part("result", Content.assemble(("◐ ", "$accent"), line(self._busy)))
        elif result is not None and result.text:
            mark = ("✓ ", GOOD) if result.ok else ("✗ ", BAD)
            self._part("result", Content.assemble(mark, *ticked(result.text)))
        else:
            self._part("result", Content(""))
        problem = view.problem or next(
            (c.problem for c in self._all_checks(view) if c.problem is not None and c.state == "failed"), None
        )
        self._part("problem", words.problem(problem, keys=False) if problem else Content(""))
        if problem is not None and problem.id != self._shown_problem:
            self.call_after_refresh(self._reveal_problem)
        self._shown_problem = problem.id if problem is not None else ""
        box = self.query_one("#commands", Static)
        box.display = bool(view.commands)
        shown = view.commands[:4]
        if len(view.commands) > 4:
            shown = (*shown[:3], f"and {len(view.commands) - 3} more; the Review lists them all")
        if self.app.size.height < 30:
            box.update(words.commands(view.commands[:1], ""))
        else:
            box.update(words.commands(shown))
        self._draw_next(view)

    def _with_error(self, field: Field) -> Field:
        from dataclasses import replace

        error = self._errors.get(field.id, "") or field.error
        return replace(field, error=error)

    def _part(self, name: str, content: Content) -> None:
        for part in self.query(f"#form .{name}").results(Static):
            part.display = bool(content.plain)
            part.update(content)

    def _reveal_problem(self) -> None:
        for part in self.query("#form .problem"):
            part.scroll_visible(animate=False)

    def _all_checks(self, view: PageView) -> list[Check]:
        """Return the page's checks, the newest state of each."""
        merged = {c.id: c for c in view.checks} | self._checks
        return list(merged.values())

    def _draw_checks(self, view: PageView, width: int) -> None:
        self._part("checks", words.checks(self._all_checks(view), width, self.flywizard.clock()))

    def _spin(self) -> None:
        view = self._view()
        if any(c.state == "running" for c in self._all_checks(view)):
            form = self.query_one("#form", VerticalScroll)
            self._draw_checks(view, max(20, form.scrollable_content_region.width))

    def _draw_next(self, view: PageView) -> None:
        waiting = self._waiting
        reason = ""
        if self._go_on and waiting:
            reason = "checking… goes on when the checks are done"
        elif view.blocked:
            reason = view.blocked
        elif waiting and not self._entering:
            reason = "checking…"
        self.query_one("#next", Press).set_class(bool(view.blocked), "-blocked")
        self.query_one("#reason", Static).update(Content.styled(line(reason), DIM))

    def _focus_first(self, view: PageView) -> None:
        """Focus the first question that needs an answer, else the first, else Next."""
        rows = [r for r in self.query(FieldRow) if not r.field.readonly]
        wanting = [r for r in rows if r.field.error or (r.field.required and not r.field.value)]
        target = next(iter(wanting or rows), None)
        (self.query_one("#next") if target is None else target.control).focus()

    # -- checks

    @property
    def _waiting(self) -> bool:
        """Tell whether something is under way that Next should wait for."""
        running = self._checker is not None and not self._checker.is_finished
        return self._entering or running or self._debounce is not None or bool(self._busy)

    def _stop_checks(self) -> None:
        if self._debounce is not None:
            self._debounce.stop()
            self._debounce = None
        if self._checker is not None:
            self._checker.cancel()
            self._checker = None

    def _start_checks(self) -> None:
        self._stop_checks()
        self._checks = {}
        self._checker = self._check(self.page)
        self.draw()

    @work(group="checks", exclusive=True, description="live checks of the page")
    async def _check(self, page: Page) -> None:
        def on_check(check: Check) -> None:
            if page == self.page:
                self._checks[check.id] = check
                self.draw()

        await self.wizard.check(page, on_check)
        self.call_later(self._checked, page)

    async def _checked(self, page: Page) -> None:
        if page != self.page:
            return
        self._checker = None
        self._checks = {}
        await self._redraw()
        if self._go_on and not self._waiting:
            self.action_next()

    def _check_soon(self) -> None:
        if self._debounce is not None:
            self._debounce.stop()
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
        names = " · ".join(
            x for x in (line(field.help), hint, field.flag and f"`{field.flag}`", field.variable) if x
        )
        self.query_one("#help", Static).update(Content.styled(line(names), DIM))

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
        if errors:
            self._leaving = False
            self._errors = dict(errors)
            self._typing = ""
            await self._redraw()
            self._focus_field(next(iter(errors)))
            return
        self.call_later(self.flywizard.show, PAGES[PAGES.index(page) + 1])

    def _focus_field(self, field_id: str) -> None:
        for row in self.query(FieldRow):
            if row.field.id == field_id:
                row.control.focus()
                row.scroll_visible(animate=False)

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
        self._result = result
        if result.goto is not None and result.goto != page:
            self.call_later(self.flywizard.show, result.goto)
            return
        await self._redraw()
        self._start_checks()
