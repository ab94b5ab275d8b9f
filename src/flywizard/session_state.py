"""Owns what a session knows at a moment: answers, findings, account, checks, typed secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flywizard.answers import BY_ID, Question, shown
from flywizard.draft import Account, Answer, Draft, defaults
from flywizard.fronts import Check, Page
from flywizard.secret_plan import Item, Known, plan_items, secret_names
from flywizard.text import Redactor
from flywizard.vault import LayeredVault, Secret, VaultError

if TYPE_CHECKING:
    from flywizard.events import Problem
    from flywizard.plan import FileChange, Plan, Probe
    from flywizard.project.model import Findings
    from flywizard.project.tree import Tree
    from flywizard.spec import Spec
    from flywizard.state_folder import Pair


FLY_HAS_IT = "Fly has it"
SECRET_FIELDS = ("broker.username", "broker.password", "database.url")
"""Questions whose answer is a secret; the vault keeps each under the name that the code reads."""


@dataclass(slots=True)
class State:
    """The session's memory."""

    folder_name: str
    draft: Draft = field(default_factory=Draft)
    account: Account = field(default_factory=Account)
    account_problem: Problem | None = None
    findings: Findings | None = None
    tree: Tree | None = None
    detection_answers: dict[str, str] = field(default_factory=dict)
    fixes: dict[str, FileChange] = field(default_factory=dict)
    """Preflight's patches that the user took: path to change."""
    spec_text: str | None = None
    spec: Spec | None = None
    """From flywizard.toml."""
    spec_faults: tuple[str, ...] = ()
    """What is wrong with flywizard.toml, each with its line."""
    page_problems: dict[Page, Problem] = field(default_factory=dict)
    """What kept a page from being prepared."""
    checks: dict[Page, dict[str, Check]] = field(default_factory=dict)
    visited: set[Page] = field(default_factory=set)
    typed: dict[str, Secret] = field(default_factory=dict)
    """Values entered in this session: question id or variable name to value."""
    from_files: dict[str, tuple[str, Secret]] = field(default_factory=dict)
    """Usable entries of ``.env`` files: name to (file:line, value)."""
    file_notes: list[str] = field(default_factory=list)
    fly_holds: dict[str, frozenset[str]] = field(default_factory=dict)
    """App to the names of secrets that it has."""
    vault: LayeredVault | None = None
    vault_names: frozenset[str] = frozenset()
    environment_names: frozenset[str] = frozenset()
    redactor: Redactor = field(default_factory=Redactor)
    rehearsal: bool = False
    resume_command: str = "flywizard resume"
    stood_in: set[str] = field(default_factory=set)
    """Secret questions that a rehearsal filled in."""
    plan: Plan | None = None
    probes: dict[str, Probe] = field(default_factory=dict)
    problem: Problem | None = None
    problem_step: str = ""
    commit: str = ""
    branch: str = ""
    dirty: tuple[str, ...] = ()
    skip: set[str] = field(default_factory=set)
    foreign: Pair | None = None
    """For whom the state folder of this name was made, when that is somebody else: the user decides."""
    in_memory: set[str] = field(default_factory=set)
    """Names whose values this run holds and no keyring does."""
    given: frozenset[str] = frozenset()
    """Names whose value the command line named (``--secret``): it comes the same way next time."""

    def values(self) -> dict[str, str]:
        """Return question id to value."""
        return self.draft.values()

    def value(self, field_id: str) -> str:
        """Return one value, or empty."""
        return self.values().get(field_id, "")

    def refresh(self) -> None:
        """Work the defaults out again, after an answer or a finding changed."""
        self.draft.put(
            "detected", defaults(self.findings, self.account, self.folder_name, self.draft.chosen())
        )

    def roles(self) -> frozenset[str]:
        """Return the roles that the project has."""
        if self.findings is None:
            return frozenset()
        return frozenset(s.role for s in self.findings.services)

    def questions(self, page: Page) -> list[Question]:
        """Return the page's questions that apply now."""
        found = shown(page, self.values(), self.roles())
        return [q for q in found if q.id != "secrets.keep" or self.unkept()]

    def unkept(self) -> list[str]:
        """Return the names whose values would have to be kept although there is no keyring.

        Values of the environment and of ``--secret`` come again next time; Fly keeps what it has.
        """
        if self.vault is None or self.rehearsal or (self.vault.lasting and self.vault.refused is None):
            return []
        typed = {self.vault_name(n) for n in self.typed if n not in self.given}
        made = {i.name for i in self.items() if i.secret and i.origin in ("env-file", "generated")}
        return sorted((typed - self.given) | made | self.in_memory)

    def web_url(self) -> str:
        """Return the frontend's public address, known before anything runs."""
        return f"https://{self.value('web.app')}.fly.dev" if "web" in self.roles() else ""

    def items(self) -> tuple[Item, ...]:
        """Return every variable of the code with where its value comes from."""
        if self.findings is None:
            return ()
        from flywizard import dotenv

        held = frozenset().union(*self.fly_holds.values()) if self.fly_holds else frozenset()
        may = frozenset(e.name for e in self.findings.env if e.secret and dotenv.may_be_generated(e.name))
        plain = {
            k.removeprefix("plain."): a.value for k, a in self.draft.all().items() if k.startswith("plain.")
        }
        if self.spec is not None:
            for service in self.spec.services.values():
                plain = {**service.env, **plain}
        known = Known(
            typed=frozenset(self.typed),
            environment=self.environment_names,
            vault=self.vault_names,
            fly=held,
            files={n: (place, value.reveal()) for n, (place, value) in self.from_files.items()},
            plain={k: v for k, v in plain.items() if v},
            generated=may,
            stand_ins=self.rehearsal,
        )
        return plan_items(self.findings, self.values(), known, self.web_url())

    def names(self) -> tuple[str, str, str]:
        """Return the vault's names of the broker's user, its password, and an existing database's URL."""
        if self.findings is None:
            return ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "DATABASE_URL")
        return secret_names(self.findings)

    def vault_name(self, field_id: str) -> str:
        """Return the vault's name of a secret question."""
        user, password, url = self.names()
        return {"broker.username": user, "broker.password": password, "database.url": url}.get(
            field_id, field_id
        )

    def entered(self, field_id: str) -> Secret | None:
        """Return a secret answer of this session, entered under the question or under the variable's name."""
        found = self.typed.get(field_id)
        return found if found is not None else self.typed.get(self.vault_name(field_id))

    def secret(self, field_id: str) -> Secret | None:
        """Return a secret answer from where it is: typed, or the vault."""
        typed = self.entered(field_id)
        if typed is not None:
            return typed
        if self.vault is None:
            return None
        try:
            value = self.vault.get(self.vault_name(field_id))
        except VaultError:
            return None
        if value is not None:
            self.redactor.add(value.reveal())
        return value

    def secret_source(self, field_id: str) -> str:
        """Return where a secret answer comes from; empty: nowhere."""
        name = self.vault_name(field_id)
        if field_id in self.stood_in:
            return "rehearsal stand-in"
        if self.entered(field_id) is not None:
            return "flag" if name in self.given and field_id not in self.typed else "you"
        if name in self.environment_names:
            return "environment"
        if name in self.vault_names:
            return self.kept_word()
        return FLY_HAS_IT if any(name in held for held in self.fly_holds.values()) else ""

    def kept_word(self) -> str:
        """Return where values are kept, as a source."""
        return "keyring" if self.vault is None or self.vault.lasting else "memory"

    def remember(self, page: Page, check: Check) -> None:
        """Keep a check's newest state."""
        self.checks.setdefault(page, {})[check.id] = check

    def failed(self, page: Page) -> list[Check]:
        """Return the checks of a page that failed."""
        return [c for c in self.checks.get(page, {}).values() if c.state == "failed"]


def _said(spec: Spec, field_id: str) -> bool:
    """Tell whether the file says it; what a section leaves out, or a section that is not there, decides nothing."""
    section, _, key = field_id.partition(".")
    if section not in ("database", "broker"):
        return True
    model = spec.database if section == "database" else spec.broker
    return section in spec.model_fields_set and {"schema": "schema_"}.get(key, key) in model.model_fields_set


def environment_answers(spec: Spec) -> dict[str, Answer]:
    """Return the answers that a flywizard.toml gives."""
    out: dict[str, str | int | None] = {
        "project.name": spec.name,
        "signin.organization": spec.organization,
        "signin.region": spec.region,
        "database.kind": spec.database.kind,
        "database.name": spec.database.name,
        "database.plan": spec.database.plan,
        "database.storage_gb": spec.database.storage_gb,
        "database.version": spec.database.version,
        "database.schema": spec.database.schema_.method
        if spec.database.schema_.method != "command"
        else "none",
        "broker.kind": spec.broker.kind,
        "broker.provider": spec.broker.provider,
        "broker.bootstrap": spec.broker.bootstrap,
        "broker.protocol": spec.broker.protocol,
        "broker.mechanism": spec.broker.mechanism,
        "broker.ca_file": spec.broker.ca_file,
        "broker.topics": ", ".join(spec.broker.topics),
    }
    out = {k: v for k, v in out.items() if _said(spec, k)}
    by_role = {service.role: service for service in reversed(spec.services.values())}
    for role, service in by_role.items():
        if role == "other":
            continue
        out |= {
            f"{role}.app": service.app,
            f"{role}.command": service.command,
            f"{role}.port": service.port,
            f"{role}.health": service.health,
            f"{role}.memory": service.memory_mb,
        }
    if "worker" in by_role and "api" in by_role:
        own = by_role["worker"].app != by_role["api"].app
        out["worker.placement"] = "app" if own else "group"
        if not own:
            out.pop("worker.app")
    return {k: Answer(str(v), "flywizard.toml") for k, v in out.items() if k in BY_ID and v not in (None, "")}


def public(data: Mapping[str, Any]) -> dict[str, str]:
    """Return a mapping with text values only."""
    return {k: str(v) for k, v in data.items()}
