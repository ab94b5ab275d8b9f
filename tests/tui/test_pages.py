from __future__ import annotations

import asyncio

import pytest
from textual.widgets import Input

from flywizard.fronts import HomeView, Page
from flywizard.tui.screens.home import HomeScreen
from flywizard.tui.widgets.choice import Picker
from flywizard.tui.widgets.press import Press
from flywizard.vault import Secret
from tests.support.fake_wizard import HOSTILE, FakeWizard
from tests.support.tui_app import FLOOR, NARROW, masked, running

FORM_PAGES = ("prerequisites", "signin", "project", "database", "broker", "secrets")


async def test_enter_all_the_way_is_a_deployment() -> None:
    async with running() as run:
        await run.at("home")
        await run.press("enter")
        for page in FORM_PAGES:
            await run.at(page)
            await run.press("enter")
        await run.at("review")
        assert run.app.focused is run.app.screen.query_one("#deploy")
        await run.press("enter")
        await run.at("done")
        assert ("run", False) in run.wizard.calls
        await run.press("enter")
        await run.until(lambda: run.app.return_value is not None)
    assert run.app.return_value == 0


async def test_enter_pressed_while_checks_run_is_not_lost() -> None:
    hold = asyncio.Event()
    async with running(FakeWizard(hold_checks=hold), "database") as run:
        await run.shows("checking…")
        await run.press("enter")
        await run.shows("goes on when the checks are done")
        hold.set()
        await run.at("broker")


async def test_enter_twice_goes_one_page_on() -> None:
    async with running(start="prerequisites") as run:
        await run.at("prerequisites")
        run.app.simulate_key("enter")
        run.app.simulate_key("enter")
        await run.at("signin")
        assert run.wizard.calls.count(("leave", "prerequisites")) == 1
        assert ("leave", "signin") not in run.wizard.calls


async def test_back_keeps_answers() -> None:
    async with running(start="database") as run:
        await run.at("database")
        run.field("database.name").control.focus()
        await run.press("end", "2", "escape")
        await run.at("project")
        assert run.wizard.values["database.name"] == "helpdesk-db2"
        await run.press("enter")
        await run.at("database")
        control = run.field("database.name").control
        assert isinstance(control, Input)
        assert control.value == "helpdesk-db2"


async def test_back_from_the_first_page_is_home() -> None:
    async with running(start="prerequisites") as run:
        await run.at("prerequisites")
        await run.press("escape")
        await run.at("home")


async def test_validation_stands_under_the_field_and_keeps_the_focus() -> None:
    async with running(start="database") as run:
        await run.at("database")
        control = run.field("database.storage_gb").control
        control.focus()
        await run.press("end", "0", "0", "0")
        assert "Disk is a number" not in run.text
        await run.press("enter")
        await run.shows("✗ Disk is a number of GB from 1 to 500")
        assert ("leave", "database") not in run.wizard.calls
        assert run.app.focused is control
        await run.press("backspace")
        await run.until(lambda: "Disk is a number" not in run.text)


async def test_the_command_changes_with_the_field() -> None:
    async with running(start="database") as run:
        await run.at("database")
        run.field("database.name").control.focus()
        await run.press("end", "x")
        await run.shows("fly mpg create --name helpdesk-dbx")


async def test_a_changed_field_is_checked_again() -> None:
    async with running(start="database") as run:
        await run.at("database")
        before = run.wizard.calls.count(("check", "database"))
        run.field("database.name").control.focus()
        await run.press("end", "x")
        await run.until(lambda: run.wizard.calls.count(("check", "database")) == before + 1)


async def test_another_choice_brings_other_questions() -> None:
    async with running(start="database") as run:
        await run.at("database")
        await run.press("down")
        await run.until(lambda: run.wizard.values["database.kind"] == "existing")
        await run.shows("the database has no URL")
        await run.press("enter")
        assert run.app.focused is run.field("database.url").control
        await run.press(*"postgres")
        await run.press("enter")
        await run.at("broker")
        assert run.wizard.secrets["database.url"] == Secret("postgres")


async def test_a_blocked_page_says_why_and_stays() -> None:
    async with running(FakeWizard(refuse_broker=True), "broker") as run:
        await run.at("broker")
        await run.shows("The API key or its secret is wrong")
        assert run.app.screen.query_one("#next", Press).has_class("-blocked")
        await run.press("enter")
        await run.pilot.pause()
        assert ("leave", "broker") not in run.wizard.calls


async def test_a_pasted_secret_is_never_on_the_screen() -> None:
    from textual.events import Paste

    secret = "sk-very-secret-9911"
    async with running(FakeWizard(missing_secret=True), "secrets") as run:
        await run.at("secrets")
        await run.shows("only you know it")
        control = run.field("secret.OPENAI_API_KEY").control
        assert run.app.focused is control
        run.app.post_message(Paste(secret))
        await run.until(lambda: isinstance(control, Input) and control.value == secret)
        assert secret not in masked(run.svg).replace("\xa0", " ")
        assert secret not in run.text
        await run.press("enter")
        await run.at("review")
        assert run.wizard.secrets["secret.OPENAI_API_KEY"] == Secret(secret)
        assert all(secret not in repr(call) for call in run.wizard.calls)


async def test_a_long_list_opens_narrows_and_chooses() -> None:
    async with running(start="signin") as run:
        await run.at("signin")
        picker = run.field("signin.region").control
        assert isinstance(picker, Picker)
        picker.focus()
        await run.press("space")
        await run.dialog("Pick")
        await run.press(*"lon", "enter")
        await run.until(lambda: run.wizard.values["signin.region"] == "lhr")
        await run.shows("acme · lhr")


async def test_an_action_asks_for_consent_and_no_is_the_default() -> None:
    async with running(start="prerequisites") as run:
        await run.at("prerequisites")
        await run.press("i")
        await run.dialog("Confirm")
        assert "official installer" in run.text
        await run.press("enter")
        await run.at("prerequisites")
        assert not [c for c in run.wizard.calls if c[0] == "act"]
        await run.press("i")
        await run.dialog("Confirm")
        await run.press("y")
        await run.until(lambda: ("act", "prerequisites", "install-flyctl", None) in run.wizard.calls)
        await run.shows("✓ `install-flyctl` is done")


async def test_an_action_that_wants_a_secret_gets_it_masked() -> None:
    async with running(start="signin") as run:
        await run.at("signin")
        run.app.screen.query_one("#next").focus()
        await run.press("t")
        await run.dialog("Prompt")
        await run.press(*"FlyV1")
        assert "FlyV1" not in run.text
        await run.press("enter")
        await run.until(lambda: run.wizard.secrets.get("paste-token") == Secret("FlyV1"))


async def test_letters_go_into_text_fields_not_to_actions() -> None:
    async with running(start="broker") as run:
        await run.at("broker")
        run.field("broker.user").control.focus()
        await run.press("end", "p")
        await run.pilot.pause()
        assert not [c for c in run.wizard.calls if c[0] == "act"]
        assert run.wizard.values["broker.user"].endswith("p")


async def test_hostile_texts_reach_the_screen_as_text() -> None:
    for start in (None, "prerequisites", "signin", "database", "secrets", "review", "done"):
        async with running(FakeWizard(hostile=True), start) as run:
            await run.pilot.pause()
            await run.shows("[/x] [@click=app.bell]x[/]")
            svg = run.svg
            assert "\x1b" not in run.text
            assert "\x1b" not in svg
            assert "\u202e" not in svg
            assert "@click" in masked(svg).replace("&#160;", " ")


async def test_hostile_choice_of_the_palette_and_help() -> None:
    async with running(FakeWizard(hostile=True), "secrets") as run:
        await run.shows("[/x]")
        await run.press("f1")
        await run.dialog("Reader")
        await run.press("escape")
        await run.press("ctrl+p")
        await run.dialog("CommandPalette")
        await run.press("escape")
        await run.shows("[/x]")
    assert HOSTILE


async def test_help_and_log_path() -> None:
    async with running(start="signin") as run:
        await run.at("signin")
        await run.press("f1")
        await run.dialog("Reader")
        assert "enter all the way through is a deployment" in run.text
        await run.press("escape")
        await run.press("ctrl+l")
        await run.shows("~/.local/state/flywizard/helpdesk/run.log")


async def test_home_offers_to_resume_first() -> None:
    async with running(FakeWizard(interrupted=True)) as run:
        await run.shows("A deployment stopped at Database 12 minutes ago.")
        await run.press("enter")
        await run.at("done")
        assert ("run", True) in run.wizard.calls


async def test_home_skips_what_cannot_be_chosen() -> None:
    async with running() as run:
        await run.at("home")
        await run.press("down", "enter")
        await run.until(lambda: ("choose", "secrets") in run.wizard.calls)


async def test_resize_folds_the_rail_and_keeps_everything() -> None:
    async with running(start="database") as run:
        await run.at("database")
        assert "secrets in" in run.text
        run.field("database.name").control.focus()
        await run.press("end", "7")
        await run.pilot.resize_terminal(*NARROW)
        await run.shows("4 of 9 ━━━━━━━━━ Database")
        assert "secrets in" not in run.text
        assert "$59.12/month" in run.text
        assert "REHEARSAL" in run.text
        assert "Next" in run.text
        assert "helpdesk-db7" in run.text
        await run.pilot.resize_terminal(*FLOOR)
        await run.shows("Next")
        await run.pilot.resize_terminal(50, 12)
        await run.shows("60×16 is needed, it is 50×12.")
        await run.pilot.resize_terminal(120, 40)
        await run.shows("secrets in")
        assert "helpdesk-db7" in run.text


async def test_every_theme_draws() -> None:
    for theme in ("flywizard-light", "ansi-dark", "ansi-light"):
        async with running(start="database", theme=theme) as run:
            await run.at("database")
            assert "Where should Postgres live?" in run.text


async def test_ctrl_c_asks_and_the_second_forces() -> None:
    for start in (None, "signin", "review", "done"):
        async with running(start=start) as run:
            await run.pilot.pause()
            await run.press("ctrl+c")
            await run.dialog("Leave")
            await run.press("escape")
            await run.until(lambda run=run: type(run.app.screen).__name__ != "Leave")  # type: ignore[misc]
            await run.press("ctrl+c")
            await run.dialog("Leave")
            await run.press("ctrl+c")
            await run.until(lambda run=run: run.app.return_value == 130)  # type: ignore[misc]


async def test_no_check_counts_between_an_edit_and_its_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywizard.tui.screens.form.DEBOUNCE", 3600.0)
    async with running(start="database") as run:
        await run.at("database")
        assert "✓ name is free" in run.text
        run.field("database.name").control.focus()
        await run.press("end", "x")
        await run.shows("○ name is free")
        assert "✓ name is free" not in run.text
        await run.press("f5")
        await run.press("enter")
        await run.at("broker")


async def test_a_look_that_comes_late_leaves_the_next_screen_alone() -> None:
    late = asyncio.Event()

    class Slow(FakeWizard):
        async def home_live(self) -> HomeView:
            await late.wait()
            return await super().home_live()

    async with running(Slow()) as run:
        await run.press("enter")
        await run.until(lambda: not isinstance(run.app.screen, HomeScreen))
        late.set()
        await run.at("prerequisites")


async def test_the_focus_stays_where_the_user_put_it_while_a_page_is_entered() -> None:
    entered = asyncio.Event()

    class Slow(FakeWizard):
        async def enter(self, page: Page) -> None:
            await entered.wait()

    async with running(Slow(), "database") as run:
        await run.shows("helpdesk-db")
        control = run.field("database.name").control
        control.focus()
        await run.press("end", "x")
        entered.set()
        await run.at("database")
        assert run.app.focused is control
        assert run.wizard.values["database.name"] == "helpdesk-dbx"
