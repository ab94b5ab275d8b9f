"""Owns the parts that form pages share: a question as a field, and what keeps a page from being done. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flywizard import providers
from flywizard.answers import Question
from flywizard.fronts import Action, Check, Choice, Field, Page
from flywizard.session_state import State
from flywizard.vault import MASK

HEADINGS: dict[str, str] = {
    "prerequisites": "What a deployment needs",
    "signin": "Who deploys, and where",
    "project": "What is in this repository",
    "database": "Where should Postgres live?",
    "broker": "Which Kafka?",
    "secrets": "Values that the code needs",
}
RECHECK = Action("recheck", "r", "Check again")


def field_of(state: State, question: Question, choices: tuple[Choice, ...] | None = None) -> Field:
    """Return a question as it stands."""
    answer = state.draft.all().get(question.id)
    value, source = (answer.value, answer.source) if answer else ("", "")
    error = (
        state.draft.errors([question]).get(question.id, "") if answer and answer.source != "default" else ""
    )
    if question.kind == "secret":
        source = state.secret_source(question.id)
        value = MASK if source else ""
        error = ""
    return Field(
        id=question.id,
        label=_label(state, question),
        kind=question.kind,
        value=value,
        source=source,
        choices=question.choices if choices is None else choices,
        help=question.help,
        error=error,
        required=question.required,
        flag=f"--secret {state.vault_name(question.id)}=env:…"
        if question.kind == "secret"
        else question.flag,
        variable=f"FLYWIZARD_SECRET_{state.vault_name(question.id)}"
        if question.kind == "secret"
        else question.variable,
        group=question.group,
    )


def _label(state: State, question: Question) -> str:
    if question.id in ("broker.username", "broker.password"):
        preset = providers.provider(state.value("broker.provider") or "other")
        return preset.user_label if question.id == "broker.username" else preset.password_label
    return question.label


def fields_of(state: State, page: Page) -> tuple[Field, ...]:
    """Return the questions that a page shows, as they stand."""
    return tuple(field_of(state, q) for q in state.questions(page))


def blocked_by(state: State, page: Page, fields: Sequence[Field], checks: Sequence[Check]) -> str:
    """Say what keeps a page from being done, or nothing: an empty field, a wrong one, a failed check."""
    empty = [f.label for f in fields if f.required and not f.value]
    if empty:
        return f"{empty[0]} is needed"
    wrong = [f.label for f in fields if f.error]
    if wrong:
        return f"{wrong[0]}: {next(f.error for f in fields if f.error)}"
    failed = [c for c in checks if c.state == "failed"]
    return f"{failed[0].title}: {failed[0].text}" if failed else ""


def applies(state: State, when: str | None) -> bool:
    """Tell whether an objection counts under the present answers."""
    if when is None:
        return True
    key, _, value = when.partition("=")
    return state.value(key) == value
