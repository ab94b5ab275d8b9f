"""Owns how a form page is drawn: its widgets made from the view, and kept while the questions stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from flywizard.fronts import Action, ActionResult, Check, Field, Page, PageView
from flywizard.tui import words
from flywizard.tui.look import BAD, DIM, GOOD, STRONG, line, ticked
from flywizard.tui.screens.frame import PAGES_CSS, Frame, buttons
from flywizard.tui.widgets.fields import FieldRow, label_width, shape, source_width
from flywizard.tui.widgets.press import Press

AIRY = 4
"""Up to this many questions have a blank line between them."""


def shown_key(action: Action) -> str:
    """Return an action's key as it is shown: ``r``, ``F2``."""
    return action.key.upper() if len(action.key) > 1 else action.key


ROOMY = 36
"""From this height on parts have blank lines between them."""


class FormDrawing(Frame):
    """The picture of a form page; what the keys do is FormScreen's."""

    CSS_PATH = PAGES_CSS

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page: Page = page
        self._shape: tuple[object, ...] | None = None
        self._checks: dict[str, Check] = {}
        self._entering = False
        self._go_on = False
        self._busy = ""
        self._typing = ""
        self._errors: dict[str, str] = {}
        self._result: ActionResult | None = None
        self._drawing = False
        self._shown_problem = ""
        self._wanted = ""
        """Id of the question that gets the focus when the page stands."""
        self._placed: Widget | None = None
        """What got the focus without the user's doing."""
        self._pen = asyncio.Lock()
        self._stale = False
        """An answer changed: what the checks said is of the past."""

    @property
    def _waiting(self) -> bool:
        """Tell whether something is under way that Next should wait for."""
        return self._entering

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
        view = self._view()
        again = self._again(view)
        typing = isinstance(self.focused, Input | TextArea)
        own = []
        for action in sorted(view.actions, key=lambda a: len(a.key) == 1):
            key = "F5" if typing and action is again else shown_key(action)
            if key and not (typing and len(key) == 1):
                own.append((key, action.label[:1].lower() + action.label[1:], f"screen.do('{action.id}')"))
        return [
            ("enter", "next", "screen.next"),
            ("esc", "back", "screen.back"),
            *own[:4],
            ("F1", "help", "app.help"),
            ("^l", "log", "app.show_log_path"),
            ("^p", "commands", "app.command_palette"),
            ("^q", "quit", "app.leave"),
        ]

    @staticmethod
    def _again(view: PageView) -> Action | None:
        """Return the action that runs the page's checks once more, or None."""
        return next((a for a in view.actions if a.id in ("recheck", "prove")), None)

    def _view(self) -> PageView:
        return self.wizard.view(self.page)

    def on_resize(self, event: Resize) -> None:
        """Lines are laid out by width."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draw soon; several calls in a row draw once."""
        if not self._drawing and self.is_mounted:
            self._drawing = True
            self.call_later(self._redraw)

    async def _redraw(self, *, focus: bool = False) -> None:
        """Draw now; one at a time, for two that make the widgets anew would lose what is typed between them."""
        async with self._pen:
            await self._redraw_alone(focus=focus)

    async def _redraw_alone(self, *, focus: bool) -> None:
        self._drawing = False
        if not self.stands():
            return
        view = self._view()
        new = (
            view.page,
            tuple(shape(f) for f in view.fields),
            bool(view.rows),
            tuple((a.id, a.label, a.key) for a in view.actions),
        )
        kept = ""
        if new != self._shape:
            kept = self._focus_of_the_user() if view.page == (self._shape or (None,))[0] else ""
            await self._rebuild(view)
            self._shape = new
            focus = True
        if not self.stands():
            return
        self._update(view)
        if kept in {f.id for f in view.fields}:
            self._focus_field(kept)
        elif focus:
            self._focus_first(view)
        self.draw_frame()

    async def _rebuild(self, view: PageView) -> None:
        """Make the widgets of the page; called when questions come or go, never while typing alone."""
        form = self.query_one("#form", VerticalScroll)
        with self.app.batch_update():
            await form.remove_children()
            if not self.stands():
                return
            made: list[Widget] = []
            width = label_width(view.fields)
            source = source_width(view.fields, self.query_one("#form").content_size.width)
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
                made.append(FieldRow(field, width, source))
            made.append(Static(classes="notes part"))
            made.append(Static(classes="checks part"))
            made.append(Static(classes="result part"))
            offered = [a for a in view.actions if a is not self._again(view)]
            if offered:
                made.append(
                    Horizontal(
                        *(
                            Press(
                                f"{a.label} ({shown_key(a)})" if a.key else a.label,
                                name=a.id,
                                classes="action",
                            )
                            for a in offered
                        ),
                        classes="actions",
                    )
                )
            made.append(Static(classes="problem part"))
            await form.mount_all(made)
            form.set_class(len(view.fields) <= AIRY, "-airy")
            form.set_class(self.app.size.height >= ROOMY, "-roomy")
            form.scroll_home(animate=False)

    def _update(self, view: PageView) -> None:
        if self._focus_shown():
            self.call_after_refresh(self._keep_focus_shown)
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
        width = self._room(form)
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
        if (
            problem is not None
            and problem.id != self._shown_problem
            and not any(f.error for f in view.fields)
        ):
            self.call_after_refresh(self._reveal_problem)
        self._shown_problem = problem.id if problem is not None else ""
        box = self.query_one("#commands", Static)
        box.display = bool(view.commands)
        shown = view.commands[:4]
        if len(view.commands) > 4:
            shown = (*shown[:3], f"and {len(view.commands) - 3} more; the Review lists them all")
        if self.app.size.height < ROOMY:
            shown = view.commands[:1] if self.app.size.height < 30 else shown
            box.update(words.commands(shown, ""))
        else:
            box.update(words.commands(shown))
        self._draw_next(view)

    def _with_error(self, field: Field) -> Field:
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
        """Return the page's checks, the newest state of each; after an edit none counts before it ran again."""
        merged = {c.id: c for c in view.checks} | self._checks
        if self._stale:
            merged = {
                c.id: Check(c.id, c.title, "waiting", "checked again in a moment") for c in merged.values()
            }
        return list(merged.values())

    def _draw_checks(self, view: PageView, width: int) -> None:
        self._part("checks", words.checks(self._all_checks(view), width, self.flywizard.clock()))

    @staticmethod
    def _room(form: VerticalScroll) -> int:
        """Return the cells of a line, also when a scrollbar comes."""
        return max(20, (form.size.width or 61) - 1)

    def _spin(self) -> None:
        if not self.stands():
            return
        view = self._view()
        if any(c.state == "running" for c in self._all_checks(view)):
            form = self.query_one("#form", VerticalScroll)
            self._draw_checks(view, self._room(form))

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
        wanted = [r for r in rows if r.field.id == self._wanted]
        target = next(iter(wanted or wanting or rows), None)
        self._placed = self.query_one("#next") if target is None else target.control
        self._placed.focus()
        self.call_after_refresh(self._keep_focus_shown)

    def _focus_of_the_user(self) -> str:
        """Return the id of the question to which the user moved the focus, or empty."""
        focused = self.focused
        if focused is None or focused is self._placed:
            return ""
        return next((r.field.id for r in focused.ancestors if isinstance(r, FieldRow)), "")

    def _focus_shown(self) -> bool:
        """Tell whether the field with the focus is in the window of the form."""
        form, focused = self.query_one("#form"), self.focused
        if focused is None or form not in focused.ancestors:
            return False
        return form.region.contains(*focused.region.offset)

    def _keep_focus_shown(self) -> None:
        """Bring the field with the focus back into the window, with its error, when lines above it moved it out."""
        form, focused = self.query_one("#form"), self.focused
        if focused is None or form not in focused.ancestors:
            return
        row = next((r for r in focused.ancestors if isinstance(r, FieldRow)), None)
        (row or focused).scroll_visible(animate=False, immediate=True)

    def _focus_field(self, field_id: str) -> None:
        for row in self.query(FieldRow):
            if row.field.id == field_id:
                row.control.focus()
                row.scroll_visible(animate=False)
