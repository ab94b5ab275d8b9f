"""The headless wizard: sources of answers, defaults, the draft, providers, secrets, and whose state it is."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from flywizard.answers import QUESTIONS
from flywizard.fronts import Field, Page
from flywizard.session import Session
from flywizard.vault import Secret, VaultError
from tests.support.backstages import GOOD_TOKEN, FakeBackstage
from tests.support.cli import repository

PAGES: tuple[Page, ...] = ("prerequisites", "signin", "project", "database", "broker", "secrets")
BOOTSTRAP = "pkc-4r087.us-east4.gcp.confluent.cloud:9092"
Make = Callable[..., Session]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return repository(tmp_path)


@pytest.fixture
def back(place: Path, tmp_path: Path) -> FakeBackstage:
    return FakeBackstage(place, {"FLYWIZARD_STATE_DIR": str(tmp_path / "state")})


async def walk(session: Session, *until: Page) -> None:
    """Press Enter on each page up to the given one."""
    for page in PAGES:
        await session.enter(page)
        if page in until:
            return
        await session.leave(page)


def field(session: Session, page: Page, field_id: str) -> Field:
    return next(f for f in session.view(page).fields if f.id == field_id)


async def test_enter_all_the_way_answers_all_but_what_only_the_user_knows(back: FakeBackstage) -> None:
    session = Session(back)
    await walk(session)
    lack = {f.id for f in session.missing()}
    assert lack == {
        "broker.bootstrap", "broker.username", "broker.password", "secret.OPENAI_API_KEY",
    }  # fmt: skip
    values = session.state.values()
    assert values["signin.organization"] == "acme"
    assert values["signin.region"] == "iad"
    assert (values["api.app"], values["web.app"]) == ("helpdesk-api", "helpdesk-web")
    assert (values["database.kind"], values["broker.kind"], values["worker.placement"]) == (
        "managed",
        "sasl",
        "group",
    )
    session.set("broker.bootstrap", BOOTSTRAP)
    for name in ("broker.username", "broker.password", "secret.OPENAI_API_KEY", "secret.WEBHOOK_SECRET_KEY"):
        session.set(name, Secret("a-value-of-its-own"))
    assert session.missing() == []
    assert all(not session.view(page).blocked for page in PAGES[1:])


async def test_each_answer_says_where_it_comes_from(back: FakeBackstage, place: Path, tmp_path: Path) -> None:
    (place / "flywizard.toml").write_text(
        'version = 1\nname = "helpdesk"\norganization = "acme"\nregion = "iad"\n[database]\nkind = "managed"\n'
        'name = "from-toml"\nplan = "launch"\nstorage_gb = 20\n'
    )
    back.environ = {**back.environ, "FLYWIZARD_DATABASE_PLAN": "scale", "FLYWIZARD_DATABASE_STORAGE": "30"}
    session = Session(back, flags={"database.plan": "starter"})
    await walk(session, "database")
    said = {f.id: (f.value, f.source) for f in session.view("database").fields}
    assert said["database.plan"] == ("starter", "flag")
    assert said["database.storage_gb"] == ("30", "environment")
    assert said["database.name"] == ("from-toml", "flywizard.toml")
    assert said["database.schema"] == ("sql", "detected")
    assert {f.id: f.source for f in session.view("project").fields}["api.memory"] == "default"
    session.set("database.plan", "basic")
    assert (field(session, "database", "database.plan").value, field(session, "database", "database.plan").source) == (
        "basic", "you",
    )  # fmt: skip


async def test_next_keeps_the_draft_and_back_loses_nothing(back: FakeBackstage) -> None:
    session = Session(back)
    await walk(session, "database")
    session.set("database.plan", "launch")
    session.set("database.storage_gb", "50")
    session.set("database.kind", "none")
    await session.leave("database")
    session.set("database.kind", "managed")
    await session.enter("project")
    await session.enter("database")
    assert field(session, "database", "database.plan").value == "launch"
    assert field(session, "database", "database.storage_gb").value == "50"
    await session.leave("database")
    again = Session(back)
    await walk(again, "database")
    assert (field(again, "database", "database.plan").value, field(again, "database", "database.plan").source) == (
        "launch", "draft",
    )  # fmt: skip


async def test_a_wrong_answer_is_an_error_in_words_and_stays_to_be_mended(back: FakeBackstage) -> None:
    session = Session(back)
    await walk(session, "database")
    assert "whole number" in session.set("database.storage_gb", "5")
    assert field(session, "database", "database.storage_gb").error
    assert session.view("database").blocked
    assert "database.storage_gb" in await session.leave("database")
    assert session.set("database.storage_gb", "15") == ""
    assert await session.leave("database") == {}


@pytest.mark.parametrize(
    ("host", "provider", "mechanism"),
    [
        (BOOTSTRAP, "confluent", "PLAIN"),
        ("seed-1a2b.abc.fmc.prd.cloud.redpanda.com:9092", "redpanda", "SCRAM-SHA-256"),
        ("kafka-acme.aivencloud.com:12345", "aiven", "SCRAM-SHA-256"),
        ("acme.servicebus.windows.net:9093", "eventhubs", "PLAIN"),
        ("flowing-cat-1234-us1-kafka.upstash.io:9092", "upstash", "SCRAM-SHA-256"),
    ],
)
async def test_the_provider_follows_the_host(
    host: str, provider: str, mechanism: str, back: FakeBackstage
) -> None:
    session = Session(back)
    await walk(session, "broker")
    session.set("broker.bootstrap", host)
    values = session.state.values()
    assert (values["broker.provider"], values["broker.mechanism"], values["broker.protocol"]) == (
        provider, mechanism, "SASL_SSL",
    )  # fmt: skip
    notes = " ".join(n.text for n in session.view("broker").notes)
    assert ("Upstash" in notes) == (provider == "upstash")
    if provider == "eventhubs":
        assert session.state.secret("broker.username") == Secret("$ConnectionString")


async def test_secrets_are_kept_under_the_names_of_the_code_and_not_in_the_draft(
    back: FakeBackstage, tmp_path: Path
) -> None:
    session = Session(back)
    await walk(session, "broker")
    session.set("broker.bootstrap", BOOTSTRAP)
    session.set("broker.password", Secret("pass-of-the-broker-77"))
    await session.leave("broker")
    await session.enter("secrets")
    session.set("secret.OPENAI_API_KEY", Secret("key-of-the-model-88"))
    await session.leave("secrets")
    keyring = back.keyrings["helpdesk"]
    assert keyring.get("KAFKA_SASL_PASSWORD") == Secret("pass-of-the-broker-77")
    assert keyring.get("OPENAI_API_KEY") == Secret("key-of-the-model-88")
    kept = b"".join(p.read_bytes() for p in (tmp_path / "state").rglob("*") if p.is_file())
    assert b"77" not in kept
    assert b"key-of-the-model" not in kept
    again = Session(back)
    await walk(again, "broker")
    assert field(again, "broker", "broker.password").source == "keyring"


async def test_a_secret_of_the_command_line_answers_the_broker_too(back: FakeBackstage) -> None:
    session = Session(back, secrets={"KAFKA_SASL_PASSWORD": Secret("from-the-flag-99")})
    await walk(session, "broker")
    assert session.state.secret("broker.password") == Secret("from-the-flag-99")
    assert field(session, "broker", "broker.password").source == "flag"


async def test_without_a_keyring_it_is_a_question(back: FakeBackstage) -> None:
    back.refused = VaultError("locked", "The keyring is locked", "Unlock it")
    session = Session(back)
    await walk(session, "secrets")
    assert "WEBHOOK_SECRET_KEY" in field(session, "secrets", "secrets.keep").help, "it would be generated"
    session.set("secret.OPENAI_API_KEY", Secret("key-of-the-model-88"))
    asked = field(session, "secrets", "secrets.keep")
    assert (asked.value, asked.required) == ("", True)
    assert "The keyring is locked" in asked.help
    assert "OPENAI_API_KEY" in asked.help
    await session.leave("secrets")
    assert "secrets.keep" in {f.id for f in session.missing()}, "held in memory without a word"
    session.set("secrets.keep", "keyring")
    assert "Unlock it" in field(session, "secrets", "secrets.keep").error
    done = await session.act("prerequisites", "use-memory")
    assert done.ok
    assert "secrets.keep" not in {f.id for f in session.missing()}
    await session.leave("secrets")
    assert "secrets.keep" not in Session(back).state.values()


async def test_a_token_is_proven_before_it_is_kept(back: FakeBackstage) -> None:
    back.signed_in = False
    session = Session(back)
    await walk(session, "signin")
    assert session.view("signin").blocked == "sign in first"
    refused = await session.act("signin", "paste-token", Secret("FlyV1 fm2_wrong"))
    assert not refused.ok
    assert back.token is None, "a refused token went on being used"
    assert back.keyrings["helpdesk"].get("FLY_API_TOKEN") is None
    done = await session.act("signin", "paste-token", Secret(GOOD_TOKEN))
    assert done.ok
    assert back.keyrings["helpdesk"].get("FLY_API_TOKEN") == Secret(GOOD_TOKEN)
    again = Session(back)
    back.token = None
    await walk(again, "signin")
    assert again.state.account.email == "you@example.com"
    assert again.scrub(f"x {GOOD_TOKEN} y") == "x •••• y"


async def test_another_name_takes_the_token_along(back: FakeBackstage) -> None:
    back.signed_in = False
    session = Session(back)
    await walk(session, "signin")
    await session.act("signin", "paste-token", Secret(GOOD_TOKEN))
    await session.leave("signin")
    await session.enter("project")
    session.set("project.name", "another")
    await session.leave("project")
    await session.enter("broker")
    assert back.opened[-1] == "another"
    assert back.keyrings["another"].get("FLY_API_TOKEN") == Secret(GOOD_TOKEN)


async def test_the_state_of_another_project_is_left_alone_until_agreed(
    back: FakeBackstage, tmp_path: Path
) -> None:
    first = Session(back)
    await walk(first, "database")
    first.set("database.plan", "launch")
    await first.leave("database")
    other = FakeBackstage(repository(tmp_path / "elsewhere"), back.environ)
    before = {p: p.read_bytes() for p in (tmp_path / "state" / "helpdesk").rglob("*") if p.is_file()}
    second = Session(other)
    await walk(second, "project")
    view = second.view("project")
    assert "`helpdesk` is in use" in view.blocked
    assert view.actions[0].id == "adopt-state"
    assert view.actions[0].consent
    assert {p: p.read_bytes() for p in before} == before
    assert await second.choose("deploy") == "project"
    second.set("project.name", "second")
    assert not second.view("project").blocked
    second.set("project.name", "helpdesk")
    assert second.view("project").blocked
    assert (await second.act("project", "adopt-state")).ok
    assert not second.view("project").blocked
    assert second.state.value("database.plan") == "launch", "the draft was not taken over"
    assert "in use" in (await _blocked_of(Session(back)))


async def _blocked_of(session: Session) -> str:
    await walk(session, "project")
    return session.view("project").blocked


async def test_another_organisation_is_another_state(back: FakeBackstage) -> None:
    first = Session(back, flags={"signin.organization": "acme"})
    await walk(first, "database")
    second = Session(back, flags={"signin.organization": "personal"})
    await walk(second, "project")
    assert "in `acme`" in second.view("project").blocked


async def test_home_offers_nothing_of_somebody_elses(back: FakeBackstage, tmp_path: Path) -> None:
    first = Session(back)
    await walk(first, "project")
    (first.folder() / "journal.jsonl").write_text(
        '{"v":1,"time":"2026-01-01T00:00:00.000Z","kind":"run","run":"r1","command":"flywizard apply","plan":"d"}\n'
    )
    (first.folder() / "journal.jsonl").chmod(0o600)
    assert Session(back).home().items[0].id == "resume"
    other = Session(FakeBackstage(repository(tmp_path / "elsewhere"), back.environ))
    assert "resume" not in [i.id for i in other.home().items]


async def test_a_crash_report_holds_no_value(back: FakeBackstage) -> None:
    session = Session(back, secrets={"OPENAI_API_KEY": Secret("sk-proj-value-55aa55")})
    await walk(session, "project")
    try:
        raise RuntimeError("crash beside sk-proj-value-55aa55 and \x1b]0;title\x07")
    except RuntimeError:
        text = session.keep_crash(traceback.format_exc())
    assert "sk-proj-value" not in text
    assert "\x1b" not in text
    kept = (session.folder() / "crash.txt").read_text()
    assert "RuntimeError" in kept
    assert "sk-proj-value" not in kept


def test_every_question_is_on_a_form_page() -> None:
    assert {q.page for q in QUESTIONS} <= set(PAGES)
