"""Owns what a page's actions and a problem's remedies do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flywizard.answers import BY_ID
from flywizard.backstage import Backstage
from flywizard.fronts import ActionResult, Page
from flywizard.plain import problem_lines
from flywizard.plan import StepError
from flywizard.session_secrets import TOKEN
from flywizard.session_state import State
from flywizard.vault import Secret

if TYPE_CHECKING:
    from flywizard.session import Session

ROLES = ("api", "worker", "web")


async def act(
    session: Session, back: Backstage, page: Page, action: str, value: str | Secret | None
) -> ActionResult:
    """Do one of a page's actions."""
    word, _, rest = action.partition(":")
    match word:
        case "recheck" | "prove":
            await _look_anew(session, page)
            return ActionResult(True)
        case "install-flyctl":
            lines: list[str] = []
            wrong = await back.install_flyctl(lines.append)
            return ActionResult(
                not wrong, session.scrub("\n".join([*lines[-8:], wrong or "flyctl is installed"]))
            )
        case "use-memory":
            session.set("secrets.keep", "memory")
            return ActionResult(True, "secrets are kept in memory for this run only")
        case "adopt-state":
            try:
                session.adopt()
            except OSError as error:
                return ActionResult(False, error.strerror or str(error))
            return ActionResult(True, "the state is this project's now")
        case "login":
            return await _login(session, back)
        case "paste-token":
            return await _token(session, back, value)
        case "rename":
            field, _, name = rest.rpartition(":")
            wrong = session.set(field, name)
            return ActionResult(not wrong, wrong or f"the name is `{name}` now")
        case "fix":
            return _fix(session, rest)
        case _:
            return ActionResult(False, f"`{action}` is not known")


async def _look_anew(session: Session, page: Page) -> None:
    """Read again what a page's checks rest on, where that may have been changed outside."""
    match page:
        case "project" | "review":
            await session.read_project()
        case "signin":
            await session.enter("signin")
        case _:
            return


async def _login(session: Session, back: Backstage) -> ActionResult:
    try:
        await back.login()
    except StepError as error:
        return ActionResult(False, error.problem.what)
    return await _signed_in(session, back)


async def _signed_in(session: Session, back: Backstage) -> ActionResult:
    state = session.state
    try:
        state.account = await back.account()
    except StepError as error:
        state.account_problem = error.problem
        return ActionResult(False, error.problem.what)
    state.account_problem = None
    state.refresh()
    return ActionResult(True, f"signed in as {state.account.email}")


async def _token(session: Session, back: Backstage, value: str | Secret | None) -> ActionResult:
    """Prove a token at once, and keep it only when it works."""
    token = Secret(value) if isinstance(value, str) else value
    if token is None or not token:
        return ActionResult(False, "no token was entered")
    session.state.redactor.add(token.reveal())
    before = session.state.typed.get(TOKEN)
    await back.use_token(token)
    done = await _signed_in(session, back)
    if not done.ok:
        await back.use_token(before)  # a token that is refused is not used for anything else
        return done
    session.keeping.take(TOKEN, token)
    session.reopen()
    wrong = await session.keeping.keep_token(token)
    return ActionResult(True, f"{done.text}; {wrong}" if wrong else done.text)


def _fix(session: Session, what: str) -> ActionResult:
    """Take preflight's patch for one objection; it is shown as a diff in the Review."""
    from flywizard.project.preflight import fix

    state = session.state
    rule, _, subject = what.partition(":")
    if state.findings is None or state.tree is None:
        return ActionResult(False, "the repository is not read yet")
    objection = next((o for o in state.findings.problems if (o.id, o.subject) == (rule, subject)), None)
    if objection is None:
        return ActionResult(False, f"{rule} is mended already")
    changes = fix(objection, state.tree)
    if not changes:
        return ActionResult(False, f"{rule} can't be mended by flywizard: {objection.remedy}")
    for change in changes:
        before = state.fixes[change.path].before if change.path in state.fixes else change.before
        state.fixes[change.path] = type(change)(change.path, before, change.after)
    session.read_again()
    return ActionResult(
        True, f"mended in {', '.join(c.path for c in changes)}; the Review shows the difference"
    )


async def remedy(session: Session, action: str, value: str | Secret | None) -> ActionResult:
    """Apply a remedy of the last problem; ``goto`` "deploy" means run again."""
    word, _, rest = action.partition(":")
    match word:
        case "retry" | "wait":
            return ActionResult(True, "trying again", "deploy")
        case "edit":
            question = BY_ID.get(_meant(session.state, rest))
            if question is None:
                return ActionResult(True, "", "project")
            return ActionResult(True, f"change `{question.label}`", question.page, question.id)
        case "set":
            if value is None:
                return ActionResult(False, f"`{rest}` needs a value")
            session.set(f"secret.{rest}", value if isinstance(value, Secret) else Secret(value))
            errors = await session.leave("secrets")
            return ActionResult(not errors, "; ".join(errors.values()), "deploy" if not errors else "secrets")
        case "skip":
            return await _skip(session)
        case "quit":
            return ActionResult(True, f"`{session.state.resume_command}` goes on where it stopped", "done")
        case "copy" | "docs":
            return ActionResult(True)
        case _:
            return ActionResult(False, f"`{action}` is not known here")


NAMES = frozenset({"APP-1", "APP-2", "APP-4", "APP-OTHER-ORG"})
"""Rules on the name of one app."""


def _meant(state: State, target: str) -> str:
    """Return the question that ``edit:TARGET`` means: the one of the service whose step failed."""
    role = _failed_role(state)
    asked = {q.id for q in state.questions("project")}
    if state.problem is not None and state.problem.id in NAMES and f"{role}.app" in asked:
        return f"{role}.app"
    head, _, tail = target.partition(".")
    if head not in ROLES or not role or role == head:
        return target
    if f"{role}.{tail}" in asked:
        return f"{role}.{tail}"
    return target if role == "worker" and state.value("worker.placement") == "group" else ""


def _failed_role(state: State) -> str:
    """Return the role of the service that the last problem is about, or empty.

    Where worker and API share an app, the machine's own words tell which of them ended: its init names the command
    (``preparing to run: `COMMAND` ``), flyctl the process group (``[worker]``).
    """
    _, _, app = state.problem_step.partition(".")
    apps = {role: state.value(f"{role}.app") for role in ROLES}
    shared = state.value("worker.placement") == "group" and "worker" in state.roles()
    if shared and app == apps["api"] and state.problem is not None:
        said = "\n".join((*state.problem.log, state.problem.raw))
        command = state.value("worker.command")
        at = {
            "api": said.rfind(f"run: `{state.value('api.command')}"),
            "worker": said.rfind(f"run: `{command}") if command else -1,
        }
        if max(at.values()) >= 0:
            return max(at, key=lambda role: at[role])
        return "worker" if "[worker]" in said and "[app]" not in said else "api"
    if shared:
        apps.pop("worker")
    return next((role for role, name in apps.items() if name and name == app), "")


async def _skip(session: Session) -> ActionResult:
    state = session.state
    if state.plan is None or not state.problem_step:
        return ActionResult(False, "nothing to skip")
    step = state.plan[state.problem_step]
    if not step.skippable:
        return ActionResult(False, f"`{step.title}` can't be skipped: later steps rest on it")
    state.skip.add(step.id)
    return ActionResult(True, f"skipped: {step.skippable}", "deploy")


def report(session: Session) -> str:
    """Return the redacted report of the last problem: what, why, raw text, and where it happened."""
    from flywizard import __version__

    state = session.state
    if state.problem is None:
        return "no problem"
    head = [f"flywizard {__version__}", f"step: {state.problem_step or '-'}", f"problem: {state.problem.id}"]
    if state.rehearsal:
        head.append("a rehearsal on the simulated Fly.io")
    return session.scrub("\n".join([*head, *problem_lines(state.problem)]))
