"""The plain front's words, whole: a run that ends well, a build that fails, and going on afterwards.

The texts are in `golden/`; `FLYWIZARD_TEST_GOLDEN=write` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from flywizard.events import (
    Event,
    Outcome,
    PlanReady,
    Problem,
    Remedy,
    RunEnded,
    RunStarted,
    StepDone,
    StepFailed,
    StepInfo,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
)
from flywizard.fronts import (
    Action,
    ActionResult,
    Check,
    Choice,
    Field,
    Header,
    Note,
    OnCheck,
    Page,
    PageView,
    ReviewFile,
    ReviewRow,
    ReviewView,
    Sink,
    StopKind,
    Summary,
    Wizard,
)
from flywizard.plain import PlainFront
from flywizard.vault import Secret

GOLDEN = Path(__file__).parent / "golden"
BUILD = Problem(
    "BUILD-3",
    "`pip install` found no version of a package",
    "requirements.txt:4 asks for `fastapi==9.9`, which no index has.",
    (Remedy("retry", "Mend requirements.txt, then try again"), Remedy("docs", "Read on", "fly logs")),
    docs="https://fly.io/docs/",
    raw="ERROR: No matching distribution found for fastapi==9.9",
    log=("#9 4.1 Collecting fastapi==9.9",),
)
STEPS = (
    StepInfo("app.helpdesk-api", "App helpdesk-api", (), "create", (1, 5)),
    StepInfo("build.helpdesk-api", "Build helpdesk-api", ("app.helpdesk-api",), "run", (60, 240)),
    StepInfo("release.helpdesk-api", "Release helpdesk-api", ("build.helpdesk-api",), "create", (35, 35)),
)
HEAD: list[Event] = [RunStarted("helpdesk", "flywizard apply"), PlanReady(STEPS, 3, "0123456789abcdef")]
CREATED: list[Event] = [
    StepStarted("app.helpdesk-api", "App helpdesk-api", ("fly apps create helpdesk-api -o acme",)),
    StepDone("app.helpdesk-api", "created", 1.84),
    StepStarted(
        "build.helpdesk-api", "Build helpdesk-api", ("fly deploy backend -a helpdesk-api --build-only",)
    ),
    StepWaiting("build.helpdesk-api", "waiting for a builder"),
    StepProgress("build.helpdesk-api", "[2/6] RUN pip install", 2, 6),
    StepProgress("build.helpdesk-api", "[2/6] RUN pip install", 2, 6),
    StepOutput("build.helpdesk-api", "stderr", "#9 4.1 Collecting fastapi"),
]
RELEASED: list[Event] = [
    StepStarted("release.helpdesk-api", "Release helpdesk-api", ("fly deploy -a helpdesk-api",)),
    StepOutput("release.helpdesk-api", "log", "INFO:     Application startup complete.", "app"),
    StepDone("release.helpdesk-api", "v1 · app ×1", 41.2),
    RunEnded("done", {"helpdesk-api": "https://helpdesk-api.fly.dev"}, "done"),
]
HAPPY = [*HEAD, *CREATED, StepDone("build.helpdesk-api", "212 MB, pushed", 93.0), *RELEASED]
FAILED = [
    *HEAD,
    *CREATED,
    StepFailed("build.helpdesk-api", BUILD),
    RunEnded("failed", {}, "stopped at a problem"),
]
RESUMED = [
    *HEAD, StepSkipped("app.helpdesk-api", "it is yours already and is reused"), CREATED[2],
    StepDone("build.helpdesk-api", "212 MB, pushed", 93.0), *RELEASED,
]  # fmt: skip


class Scripted:
    """A wizard of two pages with a scripted run."""

    root = Path("helpdesk")

    def __init__(self, events: Sequence[Event], *, answered: bool = True, state: str = "") -> None:
        self.events = events
        self.answers: dict[str, str] = {"signin.organization": "acme"} if answered else {}
        self.secrets: dict[str, Secret] = {}
        self.asks_key = not answered
        self.foreign = state
        self.stopped: list[StopKind] = []
        self.taken = False

    def header(self) -> Header:
        return Header("helpdesk", "acme", "iad")

    async def enter(self, page: Page) -> None:
        return

    def view(self, page: Page) -> PageView:
        match page:
            case "signin":
                choices = (Choice("acme", "Acme Inc (acme)"), Choice("personal", "You (personal)"))
                value = self.answers.get("signin.organization", "")
                item = Field(
                    "signin.organization", "Organisation", "choice", value, choices=choices, flag="--organization",
                    variable="FLYWIZARD_ORGANIZATION",
                )  # fmt: skip
                return PageView(
                    page, "Who deploys, and where", "A token is kept in the OS keyring", fields=(item,)
                )
            case "project" if self.foreign:
                return PageView(
                    page, "What is in this repository", notes=(Note("bad", self.foreign), Note("hint", "Name it")),
                    actions=(Action("adopt-state", "o", "Take it over", consent="Take it over?"),), blocked=self.foreign,
                )  # fmt: skip
            case "project":
                return PageView(
                    page, "What is in this repository", "a whole project: api", rows=(("api", "api", "backend/src/main.py:42"),),
                    notes=(Note("warn", "backend/Dockerfile:3: it runs as root"),),
                )  # fmt: skip
            case "secrets":
                key = Field(
                    "secret.OPENAI_API_KEY", "OPENAI_API_KEY", "secret", "••••" if self.secrets else "",
                    flag="--secret OPENAI_API_KEY=env:…", variable="FLYWIZARD_SECRET_OPENAI_API_KEY",
                )  # fmt: skip
                return PageView(page, "Values that the code needs", fields=(key,) if self.asks_key else ())
            case _:
                return PageView(page, f"The page {page}")

    async def check(self, page: Page, on_check: OnCheck) -> None:
        if page == "prerequisites":
            on_check(Check("flyctl", "flyctl", "running"))
            on_check(Check("flyctl", "flyctl", "ok", "0.4.87", seconds=0.42))
            on_check(Check("keyring", "Keyring", "warn", "locked", fix="Unlock the keyring"))
        if page == "project" and self.taken:
            rename = "rename:api.app:helpdesk-api-acme"
            on_check(Check("name", "app helpdesk-api", "failed", "the name is taken", action=rename))

    async def act(self, page: Page, action: str, value: str | Secret | None = None) -> ActionResult:
        if action == "rename:api.app:helpdesk-api-acme":
            self.taken = False
            return ActionResult(True)
        self.foreign = ""
        return ActionResult(True, "it is this project's now")

    def set(self, field_id: str, value: str | Secret) -> str:
        if isinstance(value, Secret):
            self.secrets[field_id] = value
            return ""
        if value not in ("acme", "personal"):
            return "choose one of `acme`, `personal`"
        self.answers[field_id] = value
        return ""

    def missing(self) -> Sequence[Field]:
        pages: tuple[Page, ...] = ("signin", "secrets")
        return [f for p in pages for f in self.view(p).fields if not f.value]

    async def leave(self, page: Page) -> Mapping[str, str]:
        return {}

    async def review(self) -> ReviewView:
        rows = (
            ReviewRow("app.helpdesk-api", "create", "app", "helpdesk-api", "flywizard.toml", "", ("fly apps create helpdesk-api -o acme",)),
            ReviewRow("schema", "run", "schema", "database/schema.sql", "before the first release", "", (), True),
        )  # fmt: skip
        files = (
            ReviewFile("flywizard.toml", "create", '--- /dev/null\n+++ b/flywizard.toml\n+name = "helpdesk"'),
        )
        return ReviewView(
            "1 to create · 1 file to write", rows, files, "$5.93 a month at most", changes=3, digest="d"
        )

    async def run(self, sink: Sink, *, resume: bool = False) -> Outcome:
        for event in self.events:
            sink(event)
        last = self.events[-1]
        assert isinstance(last, RunEnded)
        return last.outcome

    async def stop(self, kind: StopKind) -> None:
        self.stopped.append(kind)

    def summary(self) -> Summary:
        return Summary(
            "helpdesk is deployed", (("helpdesk-api", "https://helpdesk-api.fly.dev"),), ("app helpdesk-api",),
            (("App helpdesk-api", "1.8 s"), ("total", "2 min 16 s")), "secrets are kept in: Secret Service",
            (("logs", "fly logs -a helpdesk-api"),), "flywizard apply --yes --no-input",
        )  # fmt: skip

    def log_path(self) -> str:
        return "~/.local/state/flywizard/helpdesk/run.log"


class Told:
    """What was written, and what was asked."""

    def __init__(self, wizard: Scripted, answers: Sequence[str] | None = None, **options: Any) -> None:
        self.lines: list[str] = []
        self.hidden: list[bool] = []
        left = list(answers or ())

        def ask(prompt: str, hidden: bool) -> str:
            self.lines.append(f"? {prompt}")
            self.hidden.append(hidden)
            return left.pop(0)

        self.front = PlainFront(
            cast("Wizard", wizard), out=lambda t: self.lines.append(f"out| {t}"), err=self.lines.append,
            now=lambda: 1_767_225_600.0, monotonic=lambda: 100.0, run="r1", ask=ask if answers is not None else None,
            **options,
        )  # fmt: skip

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def golden(name: str, text: str) -> None:
    """Compare with the kept text."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("FLYWIZARD_TEST_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "events", "resume", "code"),
    [("happy", HAPPY, False, 0), ("build-fails", FAILED, False, 1), ("resumed", RESUMED, True, 0)],
    ids=["happy", "build-fails", "resumed"],
)
async def test_the_words_of_a_run(name: str, events: Sequence[Event], resume: bool, code: int) -> None:
    told = Told(Scripted(events), yes=True)
    if not resume:
        assert await told.front.prepare() == 0
    assert await told.front.deploy(resume=resume) == code
    golden(name, told.text)


async def test_missing_answers_in_words() -> None:
    told = Told(Scripted(HAPPY, answered=False))
    assert await told.front.prepare() == 3
    golden("missing", told.text)


async def test_questions_line_by_line() -> None:
    wizard = Scripted(HAPPY, answered=False)
    told = Told(wizard, ["globex", "acme", "a-key-that-nobody-sees", "yes"], yes=False)
    assert await told.front.prepare() == 0
    assert await told.front.deploy() == 0
    assert told.hidden == [False, False, True, False]
    assert wizard.secrets["secret.OPENAI_API_KEY"] == Secret("a-key-that-nobody-sees")
    assert "choose one of `acme`" in told.text
    assert "a-key-that" not in told.text
    assert "Deploy this ($5.93 a month at most)? Type `yes`: " in told.text


async def test_a_no_is_a_no() -> None:
    told = Told(Scripted(HAPPY), ["", "no"])
    assert await told.front.prepare() == 0
    assert await told.front.deploy() == 130
    assert "▸" not in told.text


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("", 2)])
async def test_a_state_folder_of_somebody_else(answer: str, code: int) -> None:
    told = Told(Scripted(HAPPY, state="`helpdesk` is in use"), ["", answer])
    assert await told.front.prepare() == code
    silent = Told(Scripted(HAPPY, state="`helpdesk` is in use"))
    assert await silent.front.prepare() == 2
    assert "✗ `helpdesk` is in use" in silent.text
    assert "hint: Name it" in silent.text


async def test_ascii_for_terminals_that_show_no_more() -> None:
    told = Told(Scripted(FAILED), yes=True, ascii_only=True)
    await told.front.prepare()
    await told.front.deploy()
    assert told.text.isascii()
    assert "x Build helpdesk-api" in told.text


async def test_json_lines_carry_the_same_events() -> None:
    told = Told(Scripted(FAILED), yes=True, as_json=True)
    await told.front.deploy()
    found = [json.loads(line[5:]) for line in told.lines if line.startswith("out| ")]
    assert [e["event"] for e in found] == [e.name for e in FAILED]
    assert {e["time"] for e in found} == {"2026-01-01T00:00:00.000Z"}
    assert found[-2]["problem"]["id"] == "BUILD-3"


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("", 1)])
async def test_another_name_is_offered(answer: str, code: int) -> None:
    wizard = Scripted(HAPPY)
    wizard.taken = True
    told = Told(wizard, ["", answer])
    assert await told.front.prepare() == code
    assert "the name is taken. Use `helpdesk-api-acme`?" in told.text
    assert wizard.taken == bool(code)
