"""Owns drawing the form pages: from the session's state to a PageView. Pure."""

from __future__ import annotations

from flywizard import providers, session_database
from flywizard.answers import Question
from flywizard.fronts import Action, Check, Choice, Field, Note, Page, PageView
from flywizard.secret_plan import Item
from flywizard.session_fields import HEADINGS, RECHECK, applies, blocked_by, field_of, fields_of
from flywizard.session_place import foreign_hint, foreign_words
from flywizard.session_state import State
from flywizard.text import shorten_home
from flywizard.vault import MASK

ORIGINS = {
    "derived": "derived",
    "you": "you",
    "environment": "environment",
    "keyring": "keyring",
    "env-file": ".env",
    "generated": "generated",
    "fly": "Fly has it",
    "stand-in": "rehearsal stand-in",
    "default": "default",
    "missing": "",
}


def view(state: State, page: Page) -> PageView:
    """Return a form page as it stands."""
    makers = {
        "prerequisites": _prerequisites,
        "signin": _signin,
        "project": _project,
        "database": session_database.view,
        "broker": _broker,
        "secrets": _secrets,
    }
    return makers[page](state, tuple(state.checks.get(page, {}).values()))


def _prerequisites(state: State, checks: tuple[Check, ...]) -> PageView:
    ready = sum(c.state in ("ok", "warn", "skipped") for c in checks)
    actions = [RECHECK]
    if any(c.action == "install-flyctl" and c.state == "failed" for c in checks):
        consent = "Run Fly's official install script? It downloads flyctl into `~/.fly/bin`."
        actions.insert(0, Action("install-flyctl", "i", "Install flyctl", consent=consent))
    if any(c.action == "use-memory" for c in checks):
        consent = "Keep secrets in memory for this run only? They are not saved; Fly keeps what it is given."
        actions.append(Action("use-memory", "m", "Keep secrets in memory for this run", consent=consent))
    failed = [c for c in checks if c.state == "failed"]
    return PageView(
        "prerequisites",
        HEADINGS["prerequisites"],
        f"{ready} of {len(checks)} ready" if checks else "",
        checks=checks,
        actions=tuple(actions),
        commands=("nothing is created: these checks only look",),
        blocked=f"{failed[0].title}: {failed[0].text}" if failed else "",
        problem=next((c.problem for c in failed if c.problem), None),
    )


def _signin(state: State, checks: tuple[Check, ...]) -> PageView:
    account = state.account
    organizations = tuple(
        Choice(slug, f"{name} ({slug})" if name != slug else slug)
        for slug, name in account.organizations.items()
    )
    regions = tuple(
        Choice(r.code, f"{r.code}  {r.name}", "" if r.managed_postgres else "no Managed Postgres")
        for r in account.regions
    )
    lists = {"signin.organization": organizations, "signin.region": regions}
    fields = tuple(field_of(state, q, lists.get(q.id)) for q in state.questions("signin"))
    fields = tuple(_in_list(f, account.email) for f in fields)
    actions = (
        Action("login", "l", "Sign in with the browser", terminal=True),
        Action("paste-token", "t", "Paste a token", wants="secret"),
        RECHECK,
    )
    notes = []
    if account.email and not checks:
        notes.append(Note("ok", f"signed in as {account.email}, by {account.how}"))
    if account.note:
        notes.append(Note("warn", account.note))
    return PageView(
        "signin",
        HEADINGS["signin"],
        "A token is kept in the OS keyring; flyctl's own login stays where flyctl keeps it",
        fields=fields,
        notes=tuple(notes),
        checks=checks,
        actions=actions,
        commands=("fly auth whoami --json",),
        problem=state.account_problem,
        blocked=blocked_by(state, "signin", fields, checks) if account.email else "sign in first",
    )


def _in_list(item: Field, email: str) -> Field:
    from dataclasses import replace

    if email and item.choices and item.value and item.value not in {c.value for c in item.choices}:
        return replace(item, error=f"this account has no `{item.value}`")
    return item


def _project(state: State, checks: tuple[Check, ...]) -> PageView:
    findings = state.findings
    if findings is None:
        return PageView(
            "project", HEADINGS["project"], "reading the repository", blocked="reading the repository"
        )
    rows = []
    for service in findings.services:
        first = service.evidence[0] if service.evidence else None
        place = f"{first.file}:{first.line}" if first else ""
        rows.append((service.name, service.role, service.command or service.framework or "?", place))
    fields = tuple(_question_fields(state)) + tuple(_named(f, checks) for f in fields_of(state, "project"))
    told = [o for o in findings.problems if applies(state, o.when)]
    notes = [
        Note(
            "info" if o.handled else "bad" if o.blocking else "warn",
            f"{o.file}:{o.line}: {o.message}" if o.file and o.line else o.message,
        )
        for o in told
        if o.file is None or f"fixed:{o.id}" not in state.detection_answers
    ]
    notes += [Note("info", f"{n.file}:{n.line}: {n.what}") for n in findings.notes[:5]]
    notes += [Note("info", f"skipped: {text}") for text in findings.skipped[:5]]
    foreign = _foreign(state)
    mendable = [o for o in told if o.fixable and not o.handled][:9]
    fixes = [
        Action(f"fix:{o.id}:{o.subject}", str(number), f"Mend {o.id}: {o.remedy}")
        for number, o in enumerate(mendable, 1)
    ]
    actions = (*foreign, *_renames(checks), *fixes, RECHECK)
    what = {"full-stack": "a whole project", "partial": "part of such a project"}.get(
        findings.kind, "not supported"
    )
    blocking = [o for o in told if o.blocking and not o.handled]
    blocked = blocking[0].message if blocking else blocked_by(state, "project", fields, checks)
    if state.foreign is not None:
        words = foreign_words(state.foreign, state.value("project.name"))
        notes[:0] = [Note("bad", words), Note("hint", foreign_hint(state.foreign))]
        blocked = words
    return PageView(
        "project",
        HEADINGS["project"],
        f"{what}: {', '.join(s.name for s in findings.services) or 'no service found'}",
        fields=fields,
        rows=tuple(rows),
        columns=("service", "role", "starts with", "found in"),
        notes=tuple(notes),
        checks=checks,
        actions=actions,
        commands=("files are shown as diffs in the Review; nothing is written before",),
        blocked=blocked,
    )


def _named(item: Field, checks: tuple[Check, ...]) -> Field:
    """Put what a live check says against a name under the field of that name."""
    from dataclasses import replace

    failed = next((c for c in checks if c.id == f"name:{item.id}" and c.state == "failed"), None)
    if failed is None or item.error:
        return item
    return replace(item, error=failed.text)


def _renames(checks: tuple[Check, ...]) -> tuple[Action, ...]:
    """Return the names that failed checks offer instead, each on a key that text fields leave alone."""
    offers = [c.action for c in checks if c.state == "failed" and c.action.startswith("rename:")]
    return tuple(
        Action(action, f"f{number}", f"Use {action.rpartition(':')[2]}")
        for number, action in enumerate(offers[:3], 2)
    )


def _foreign(state: State) -> tuple[Action, ...]:
    if state.foreign is None:
        return ()
    consent = (
        f"Take over the state kept for `{shorten_home(state.foreign.root)}`? "
        "Right when that repository was moved or renamed; its deployments stop being known there."
    )
    return (Action("adopt-state", "o", "Take the state over", consent=consent),)


def _question_fields(state: State) -> list[Field]:
    assert state.findings is not None  # noqa: S101 - the caller looked
    return [
        Field(
            f"question.{q.id}", q.text, "choice", state.detection_answers.get(q.id, ""),
            choices=tuple(Choice(c, c) for c in q.choices), group="Undecided", flag=f"--answer {q.id}=…",
        )
        for q in state.findings.questions
    ]  # fmt: skip


def _broker(state: State, checks: tuple[Check, ...]) -> PageView:
    choices = tuple(Choice(p.id, p.label, f"ended {p.date}" if p.ended else "") for p in providers.PROVIDERS)
    fields = tuple(
        field_of(state, q, choices if q.id == "broker.provider" else None) for q in state.questions("broker")
    )
    lede, notes = "", []
    if state.findings is not None:
        found = state.findings.broker
        if not found.needed:
            lede = "The code uses no Kafka"
        else:
            place = f"{found.evidence[0].file}:{found.evidence[0].line}" if found.evidence else "the code"
            lede = f"{found.client or 'a Kafka client'} in {place} " + _sasl_words(found.sasl_capable)
    if state.value("broker.kind") == "sasl":
        if state.findings is not None and state.findings.broker.sasl_capable is False:
            where = state.findings.broker.without_sasl
            place = f"{where[0].file}:{where[0].line}" if where else "the client"
            notes.append(Note("bad", f"{place} passes no sign-in: a hosted broker would refuse it"))
        preset = providers.provider(state.value("broker.provider") or "other")
        if preset.ended:
            notes.append(Note("warn", providers.upstash_explanation()))
        elif preset.advice:
            notes.append(Note("hint", preset.advice))
    return PageView(
        "broker",
        HEADINGS["broker"],
        lede,
        fields=fields,
        notes=tuple(notes),
        checks=checks,
        actions=(Action("prove", "r", "Prove it again"),) if state.value("broker.kind") == "sasl" else (),
        commands=("nothing is created: the credentials are proven now and set as secrets later",),
        problem=next((c.problem for c in checks if c.state == "failed" and c.problem), None),
        blocked=blocked_by(state, "broker", fields, checks),
    )


def _sasl_words(capable: bool | None) -> str:
    if capable is None:
        return "may or may not take SASL settings: this could not be told"
    return "takes SASL settings, so a hosted broker can work" if capable else "takes no SASL settings"


def _secrets(state: State, checks: tuple[Check, ...]) -> PageView:
    items = state.items()
    fields = []
    for question in state.questions("secrets"):
        if question.id == "secrets.keep":
            fields.append(_keep_field(state, question))
        elif state.from_files:
            fields.append(field_of(state, question))
    fields += [_item_field(item, state.kept_word()) for item in items]
    derived = [i for i in items if i.origin == "derived"]
    missing = [i for i in items if i.origin == "missing"]
    notes = [Note("warn", text) for text in state.file_notes[:6]]
    if derived:
        notes.append(Note("info", f"derived from your other answers: {', '.join(i.name for i in derived)}"))
    held = state.vault.place if state.vault is not None else "not open yet"
    return PageView(
        "secrets",
        HEADINGS["secrets"],
        f"{len(items)} names the code reads; kept in: {held}",
        fields=tuple(fields),
        notes=tuple(notes),
        checks=checks,
        actions=(RECHECK,),
        commands=("values go to Fly over stdin, staged: `fly secrets import --stage`",),
        blocked=f"{missing[0].name} has no value yet"
        if missing
        else blocked_by(state, "secrets", fields, ()),
    )


def _keep_field(state: State, question: Question) -> Field:
    from dataclasses import replace

    assert state.vault is not None  # noqa: S101 - the question is asked only with one
    found = field_of(state, question)
    why = state.vault.refused.text if state.vault.refused is not None else ""
    help_text = f"{why}. It would hold {', '.join(state.unkept())}" if why else question.help
    fix = state.vault.refused.fix if state.vault.refused is not None else ""
    error = f"{why}. {fix}".strip() if found.value == "keyring" and not state.vault.lasting else found.error
    return replace(found, help=help_text, error=error)


def _item_field(item: Item, kept: str) -> Field:
    secret = item.secret or item.value is None
    known = item.origin != "missing"
    value = (MASK if secret else item.value or "") if known else ""
    source = kept if item.origin == "keyring" else ORIGINS[item.origin]
    if item.origin == "env-file":
        source = item.place
    elif item.origin == "derived":
        source = f"from {item.place}"
    return Field(
        id=f"{'secret' if item.secret else 'plain'}.{item.name}",
        label=item.name,
        kind="secret" if item.secret else "text",
        value=value,
        source=source,
        help=f"read in {item.why}" if item.why else "",
        required=item.required and item.origin == "missing",
        flag=f"--secret {item.name}=env:…" if item.secret else "",
        variable=f"FLYWIZARD_SECRET_{item.name}",
        group=", ".join(item.services),
        readonly=item.origin == "derived",
    )
