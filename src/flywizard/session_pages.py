"""Owns what the form pages do with the session: load what they rest on, take answers, tell which are missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flywizard.answers import BY_ID, validate
from flywizard.backstage import Backstage
from flywizard.draft import Answer
from flywizard.events import StepError
from flywizard.fronts import PAGES, Field, Page
from flywizard.vault import Secret

if TYPE_CHECKING:
    from flywizard.session import Session


async def enter(session: Session, back: Backstage, page: Page) -> None:
    """Load what a page rests on. Raises StepError, VaultError, OSError."""
    state = session.state
    match page:
        case "signin":
            await _load_account(session, back)
        case "project":
            if state.findings is None:
                await session.read_project()
        case "broker" | "database":
            await session.vault()
            session.keeping.fill_stand_ins()
            await _ask_what_fly_holds(session)
        case "secrets":
            await session.vault()
            session.keeping.fill_stand_ins()
            await asyncio.to_thread(session.keeping.read_env_files, session.root)
            await _ask_what_fly_holds(session)
        case "review":
            await session.ask_git()
        case _:
            pass
    state.visited.add(page)


async def _load_account(session: Session, back: Backstage) -> None:
    if session.state.account.email:
        return
    if "FLY_API_TOKEN" not in session.state.typed:
        kept = await session.keeping.kept_token()
        if kept is not None:
            await back.use_token(kept)
    try:
        session.state.account = await back.account()
        session.state.account_problem = None
    except StepError as error:
        session.state.account_problem = error.problem
    session.state.refresh()


async def _ask_what_fly_holds(session: Session) -> None:
    if not session.state.account.email:
        return
    from flywizard.ports import LookError

    ports = await session.doors()
    for role in ("api", "worker", "web"):
        app = session.state.value(f"{role}.app")
        if not app or app in session.state.fly_holds or role not in session.state.roles():
            continue
        try:
            found = await ports.look.app(app)
            if isinstance(found, str):
                continue
            session.state.fly_holds[app] = frozenset(await ports.look.secrets(app))
        except LookError:
            continue


def set_answer(session: Session, field_id: str, value: str | Secret) -> str:
    """Set one answer; return an error in words, or empty."""
    state = session.state
    if isinstance(value, Secret):
        if not value:
            state.typed.pop(field_id.removeprefix("secret."), None)
            return ""
        session.keeping.take(field_id.removeprefix("secret."), value)
        return ""
    if field_id.startswith("plain."):
        state.draft.set(field_id, value)
        return ""
    if field_id.startswith("question."):
        state.detection_answers[field_id.removeprefix("question.")] = value
        session.inspect()
        state.refresh()
        return ""
    question = BY_ID[field_id]
    error = validate(question, value)
    if state.draft.all().get(field_id) != Answer(value, "you"):
        state.draft.set(field_id, value)
    _follow(session, field_id, value)
    state.refresh()
    if field_id in ("project.name", "signin.organization"):
        session.place.look()
    return error


def _follow(session: Session, field_id: str, value: str) -> None:
    """Let answers that hang on this one follow it, where the user has not set them."""
    from flywizard import providers

    if field_id == "broker.bootstrap" and value:
        found = providers.provider_of(value.split(",")[0])
        if found.id != "other" and found.id != session.state.value("broker.provider"):
            session.state.draft.set("broker.provider", found.id)
            _follow(session, "broker.provider", found.id)
    elif field_id == "broker.provider":
        preset = providers.provider(value)
        session.state.draft.set("broker.protocol", preset.protocol)
        session.state.draft.set("broker.mechanism", preset.mechanisms[0])
        if preset.fixed_user:
            session.keeping.take("broker.username", Secret(preset.fixed_user))


def missing(session: Session) -> list[Field]:
    """Return every answer that is required and has no value, over all pages."""
    out = []
    for page in PAGES[:6]:
        if page == "prerequisites":
            continue
        # a name that is taken is an answer all the same: its check has said what is wrong
        taken = {c.id.removeprefix("name:") for c in session.state.failed(page)}
        for item in session.view(page).fields:
            if (item.required and not item.value) or (item.error and item.id not in taken):
                out.append(item)
    return out
