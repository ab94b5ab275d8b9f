from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.widgets import Input

from flywizard.events import Event, Outcome, Problem, Remedy, RunEnded, StepFailed, StepOutput
from flywizard.fronts import Refused, ReviewView, Sink
from flywizard.tui.widgets.log_view import LogView
from flywizard.tui.widgets.press import Press
from flywizard.vault import Secret
from tests.support.fake_wizard import HOSTILE, FakeWizard, failing, resumed, script
from tests.support.tui_app import NARROW, Driver, running


async def started(run: Driver, beats: int = 6) -> None:
    await run.at("deploy")
    run.wizard.release(beats)
    await run.shows("Release helpdesk-api")
    await run.until(lambda: run.app.state.finished >= 8)
    await run.shows("8 of 12")


async def test_the_review_asks_apart_for_consent_with_the_safe_answer_first() -> None:
    async with running(FakeWizard(consents=("The database exists and would be changed.",)), "review") as run:
        await run.at("review")
        assert "1 need your consent" in run.text
        await run.press("enter")
        await run.dialog("Confirm")
        await run.press("enter")
        await run.at("review")
        assert not [c for c in run.wizard.calls if c[0] == "run"]
        await run.press("d")
        await run.dialog("Confirm")
        await run.press("y")
        await run.at("done")


async def test_the_review_shows_commands_files_and_saves_the_plan() -> None:
    async with running(start="review") as run:
        await run.at("review")
        assert "$ fly mpg create --name helpdesk-db" in run.text
        await run.press("down", "down", "down")
        await run.shows("$ fly apps create helpdesk-api --org acme")
        await run.press("f")
        await run.shows('+primary_region = "iad"')
        await run.press("escape")
        await run.press("c")
        await run.shows("sent to the terminal's clipboard")
        assert "fly secrets import -a helpdesk-api --stage < DATABASE_URL=••••" in run.app.clipboard
        await run.press("escape")
        await run.press("s")
        await run.dialog("Prompt")
        await run.press("enter")
        await run.shows("saved as `flywizard.plan.json`")
        assert ("save_plan", "flywizard.plan.json") in run.wizard.calls
        await run.press("escape")
        await run.at("secrets")


async def test_the_run_shows_steps_and_logs() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        text = run.text
        assert "✓ Database helpdesk-db" in text
        assert "ready, id 1zqdgr7" in text
        assert "1/2 machines healthy · worker started" in text
        assert "○ Release helpdesk-web" in text
        assert "assigned inbound-messages[0..5]" in text
        await run.press("right", "right")
        await run.until(lambda: "Started server process" not in run.text)
        assert "assigned inbound-messages[0..5]" in run.text
        run.wizard.release(9)
        await run.at("done")


async def test_search_and_pause_in_the_log() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("slash", *"inbound", "enter")
        await run.shows("n and p go to the next match")
        assert run.app.screen.query_one(LogView).search == "inbound"
        await run.press("space")
        await run.shows("paused ·")
        run.app.sink(StepOutput("x", "stdout", "a line while paused"))
        await run.pilot.pause(0.2)
        assert "a line while paused" not in run.text
        await run.press("space")
        await run.shows("a line while paused")


async def test_the_log_keeps_the_reading_position() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await run.at("deploy")
        log = run.app.screen.query_one(LogView)
        for n in range(200):
            run.app.sink(StepOutput("x", "stdout", f"line {n}"))
        await run.shows("line 199")
        assert log.following
        await run.press("pageup", "pageup")
        await run.until(lambda: not log.following)
        await run.pilot.pause()
        top = log.scroll_offset.y
        for n in range(200, 400):
            run.app.sink(StepOutput("x", "stdout", f"line {n}"))
        await run.until(lambda: len(log.shown) == 400)
        assert log.scroll_offset.y == top
        await run.press("end")
        await run.until(lambda: log.following)


async def test_the_log_is_bounded() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await run.at("deploy")
        log = run.app.screen.query_one(LogView)
        log.limit = 100
        for n in range(12_000):
            run.app.sink(StepOutput("x", "stdout", f"line {n}"))
        await run.shows("line 11999")
        assert len(log.shown) <= 5_100


async def test_a_failed_run_shows_the_problem_and_retries() -> None:
    async with running(FakeWizard(runs=[failing(), resumed()]), "deploy") as run:
        await run.shows("Stopped: the API starts and exits at once")
        text = run.text
        assert text.index("What happened") < text.index("Why") < text.index("What to do")
        assert "1 Set KAFKA_SECURITY_PROTOCOL=SASL_SSL" in text
        assert "Main child exited normally with code: 1" in text
        assert "✗ Deploy" in text
        await run.press("r")
        await run.at("done")
        assert ("remedy", "retry", None) in run.wizard.calls
        assert ("run", True) in run.wizard.calls


async def test_the_first_remedy_has_the_focus_and_its_number() -> None:
    async with running(FakeWizard(runs=[failing(), failing(), resumed()]), "deploy") as run:
        await run.shows("Apply 1 and retry")
        await run.press("enter")
        await run.until(lambda: len([c for c in run.wizard.calls if c[0] == "run"]) == 2)
        await run.shows("Apply 1 and retry")
        await run.press("1")
        await run.at("done")
        set_ = ("remedy", "set:KAFKA_SECURITY_PROTOCOL=SASL_SSL", None)
        assert run.wizard.calls.count(set_) == 2


async def test_edit_goes_to_the_page_of_the_answer() -> None:
    async with running(FakeWizard(runs=[failing(), resumed()]), "deploy") as run:
        await run.shows("Stopped:")
        await run.press("e")
        await run.at("broker")
        assert run.app.focused is run.field("broker.provider").control


async def test_undo_asks_first() -> None:
    async with running(FakeWizard(runs=[failing()]), "deploy") as run:
        await run.shows("Stopped:")
        await run.press("3")
        await run.dialog("Confirm")
        await run.press("enter")
        await run.shows("Stopped:")
        assert not [c for c in run.wizard.calls if c[0] == "remedy"]


async def test_a_value_that_a_remedy_needs_is_asked_for() -> None:
    problem = Problem("S-1", "a secret is missing", "nobody set it", (Remedy("set:API_KEY", "Set API_KEY"),))
    beats: list[list[Event]] = [*script()[:2], [StepFailed("secrets", problem), RunEnded("failed")]]
    async with running(FakeWizard(runs=[beats, resumed()]), "deploy") as run:
        await run.shows("Apply 1 and retry")
        await run.press("1")
        await run.dialog("Prompt")
        await run.press(*"abc")
        assert "abc" not in run.text
        await run.press("enter")
        await run.at("done")
        assert ("remedy", "set:API_KEY", Secret("abc")) in run.wizard.calls


async def test_the_report_is_copied_and_shown() -> None:
    async with running(FakeWizard(runs=[failing()]), "deploy") as run:
        await run.shows("Stopped:")
        await run.press("c")
        await run.shows("Report, without secrets")
        assert run.app.clipboard.startswith("APP-1")
        await run.press("escape")
        await run.press("q")
        await run.until(lambda: run.app.return_value == 1)


async def test_ctrl_c_is_a_conversation() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("ctrl+c")
        await run.dialog("Conversation")
        assert "running now: Release helpdesk-api, Build helpdesk-web" in run.text
        await run.press("enter")
        await run.at("deploy")
        assert run.wizard.stops == []
        await run.press("ctrl+q")
        await run.dialog("Conversation")
        await run.press("down", "down", "enter")
        await run.shows("Resume from here")
        assert run.wizard.stops == ["now"]
        await run.press("q")
        await run.until(lambda: run.app.return_value == 130)


async def test_the_second_ctrl_c_forces() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("ctrl+c", "ctrl+c")
        await run.until(lambda: run.app.return_value == 130)
    assert run.wizard.stops == ["now"]


async def test_leaving_it_running_ends_the_screen_only() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("ctrl+c")
        await run.dialog("Conversation")
        await run.press("up", "enter")
        await run.until(lambda: run.app.return_value == 130)
    assert run.wizard.stops == ["leave"]


async def test_a_stopped_run_goes_on() -> None:
    async with running(FakeWizard(gated=True, runs=[script(), resumed()]), "deploy") as run:
        await started(run)
        await run.press("escape")
        await run.dialog("Conversation")
        await run.press("down", "enter")
        await run.shows("Resume from here")
        run.wizard.release(20)
        await run.press("enter")
        await run.at("done")
        assert [c for c in run.wizard.calls if c[0] == "run"][-1] == ("run", True)


async def test_enter_on_the_deploy_screen_does_nothing() -> None:
    async with running(FakeWizard(gated=True), "deploy", NARROW) as run:
        await started(run)
        await run.press("enter", "enter")
        assert type(run.app.screen).__name__ == "DeployScreen"
        assert run.app.state.running


async def test_hostile_log_lines_are_text() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await run.at("deploy")
        run.app.sink(StepOutput("api", "log", HOSTILE, HOSTILE))
        run.app.sink(
            StepFailed("x", Problem("X", HOSTILE, HOSTILE, (Remedy("retry", HOSTILE),), raw=HOSTILE))
        )
        await run.shows("[/x] [@click=app.bell]x[/]")
        run.app.sink(RunEnded("failed"))
        await run.shows("What happened")
        assert "\x1b" not in run.text
        assert "[/x] [@click=app.bell]x[/]" in run.text


async def test_lines_are_saved(clean_environment: Path) -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("w")
        await run.dialog("Prompt")
        assert run.app.screen.query_one(Input).value == "~/helpdesk-run.log"
        await run.press("enter")
        await run.shows("saved as `~/helpdesk-run.log`")
    assert "assigned inbound-messages" in (clean_environment / "helpdesk-run.log").read_text()


async def test_done_shows_everything_and_opens_addresses() -> None:
    opened: list[str] = []
    async with running(start="done") as run:
        await run.at("done")
        run.app.open_url = lambda url, *, new_tab=True: opened.append(url)  # type: ignore[method-assign]
        await run.shows("https://helpdesk-api.fly.dev")
        assert "flywizard apply --yes" in run.text
        assert isinstance(run.app.focused, Press)
        await run.press("2")
        await run.until(lambda: opened == ["https://helpdesk-web.fly.dev"])
        await run.press("q")
        await run.until(lambda: run.app.return_value == 0)


async def test_the_key_that_closes_the_stop_dialog_does_not_close_done() -> None:
    async with running(FakeWizard(gated=True), "deploy") as run:
        await started(run)
        await run.press("ctrl+c")
        await run.dialog("Conversation")
        run.wizard.release(9)
        await run.shows("The run ended meanwhile: all steps are done")
        await run.press("enter")
        await run.at("done")
        assert run.app.return_value is None
        assert run.wizard.stops == []


async def test_a_run_that_is_refused_ends_with_its_own_code() -> None:
    class Locked(FakeWizard):
        async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
            raise Refused(Problem("LOCKED", "another run holds the lock", "wait for it"), 4)

    async with running(Locked(), "deploy") as run:
        await run.shows("another run holds the lock")
        await run.press("q")
        await run.until(lambda: run.app.return_value == 4)


async def test_the_review_shows_why_it_is_blocked_in_full_and_looks_again() -> None:
    why = (
        "the API reads `REDIS_URL` and nothing here gives it a Redis: "
        + "words that go on " * 8
        + "to-the-end"
    )

    class Blocked(FakeWizard):
        async def review(self) -> ReviewView:
            again = any(c[:1] == ("review",) for c in self.calls)
            view = await super().review()
            return view if again else replace(view, blocked=why)

    async with running(Blocked(), "review", NARROW) as run:
        await run.at("review")
        await run.shows("to-the-end")
        assert "r look again" in run.text
        await run.press("enter")
        await run.pilot.pause()
        assert not [c for c in run.wizard.calls if c[0] == "run"]
        await run.press("r")
        await run.until(lambda: "to-the-end" not in run.text)
        await run.press("enter")
        await run.at("done")
