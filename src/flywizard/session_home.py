"""Owns what a session shows around its pages: header, rail, and Home. Pure, from what is known already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from flywizard.fronts import PAGES, TITLES, Header, HomeItem, HomeView, Page, RailItem, ReviewView
from flywizard.journal import JournalState
from flywizard.session_state import State
from flywizard.text import duration, shorten_home


def header(state: State, speed: float) -> Header:
    """Return the line on top and the foot of the rail."""
    vault = state.vault
    monthly = ""
    if state.plan is not None:
        from flywizard import cost

        monthly = cost.money(cost.total([c for s in state.plan.steps for c in s.costs]))
    ok = None if vault is None else (vault.lasting or state.rehearsal)
    place = "" if vault is None else vault.place
    return Header(
        state.value("project.name"), state.value("signin.organization"), state.value("signin.region"),
        state.rehearsal, speed, monthly, place, ok, state.resume_command,
    )  # fmt: skip


def rail(state: State, current: Page | None, review: ReviewView | None, *, ran: bool) -> Sequence[RailItem]:
    """Return the steps with a one-line answer for each that is done; ``ran``: a run was begun."""
    items = []
    here = PAGES.index(current) if current is not None else -1
    for number, page in enumerate(PAGES):
        answer = _answer(state, page, review) if number < here or page in state.visited else ""
        word = "current" if page == current else "done" if number < here else "todo"
        if page == "deploy" and state.problem is not None and ran and number == here:
            word = "failed"
        if number < here and answer.endswith("not used"):
            word = "skipped"
        items.append(RailItem(page, TITLES[page], word, answer))  # type: ignore[arg-type]
    return items


def _answer(state: State, page: Page, review: ReviewView | None) -> str:
    value = state.value
    match page:
        case "prerequisites":
            checks = state.checks.get(page, {}).values()
            return f"{sum(c.state != 'failed' for c in checks)} of {len(checks)} ready" if checks else ""
        case "signin":
            email = state.account.email
            return f"{email} · {value('signin.organization')}" if email else ""
        case "project":
            return ", ".join(s.name for s in state.findings.services) if state.findings else ""
        case "database":
            words = {"managed": "Managed Postgres", "existing": "existing", "none": "not used"}
            return words.get(value("database.kind"), "")
        case "broker":
            if value("broker.kind") == "none":
                return "not used"
            from flywizard import providers

            return providers.provider(value("broker.provider") or "other").label
        case "secrets":
            return f"{len([i for i in state.items() if i.secret])} values"
        case "review":
            return f"{review.changes} changes" if review is not None else ""
        case _:
            return ""


def home(state: State, journal: JournalState, root: str, now: float) -> HomeView:
    """Return Home; ``now`` in Unix seconds."""
    items = []
    notice = ""
    last = journal.last
    if journal.resumable and last is not None:
        done = sum(r.status in ("done", "skipped") for r in journal.steps.values())
        ago = _ago(last.ended or last.time, now)
        notice = f"A deployment stopped {ago}. You can go on where it stopped."
        detail = f"{done} of {len(journal.steps)} steps done; settles what was in doubt first"
        items.append(HomeItem("resume", "Resume", detail))
    deployed = last is not None and last.outcome in ("done", "nothing-to-do")
    items.append(
        HomeItem("deploy", "Deploy changes", "looks what changed since the last release")
        if deployed
        else HomeItem("first", "First deployment", "asks first, changes nothing before the Review")
    )
    if deployed:
        items.append(
            HomeItem("first", "Go through the answers", "the same steps, with what you said last time")
        )
    if not state.rehearsal:
        items.append(
            HomeItem(
                "rehearse",
                "Rehearse",
                "the same, offline: `flywizard rehearse .`",
                disabled="run `flywizard rehearse .`",
            )
        )
    if state.spec_faults:
        notice = f"flywizard.toml can't be used: {state.spec_faults[0]}"
        items = [replace(item, disabled="mend flywizard.toml first") for item in items]
    where = f"{state.branch} @ {state.commit}" if state.commit else shorten_home(root)
    dirty = f" · {len(state.dirty)} files not committed" if state.dirty else ""
    return HomeView(f"{state.folder_name} · {where}{dirty}", tuple(items), notice)


def _ago(when: str, now: float) -> str:
    try:
        then = datetime.fromisoformat(when).timestamp()
    except ValueError:
        return "earlier"
    return f"{duration(max(0.0, now - then))} ago"
