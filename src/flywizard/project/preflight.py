"""Owns the table of preflight rules and their running; a rule is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from flywizard.plan import FileChange
from flywizard.project import (
    fixes,
    fixes_late,
    rules_broker,
    rules_build,
    rules_data,
    rules_fly,
    rules_image,
    rules_late,
    rules_pool,
    rules_python,
    rules_run,
    rules_schema,
)
from flywizard.project.model import Findings, Objection
from flywizard.project.survey import Survey
from flywizard.project.tree import Tree

Check: TypeAlias = Callable[[Survey, Findings], Iterable[Objection]]
Fix: TypeAlias = Callable[[Tree, Objection], list[FileChange]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it looks for, how, and how one key mends it."""

    id: str
    looks_for: str
    check: Check
    fix: Fix | None = None


RULES: tuple[Rule, ...] = (
    Rule("C-00", "a folder without anything to deploy", rules_fly.nothing_here),
    Rule("C-01", "a copied `public/` that does not exist", rules_image.missing_public, fixes.public_folder),
    Rule(
        "C-02",
        "a copied standalone build that next.config does not produce",
        rules_image.no_standalone,
        fixes.standalone_of,
    ),
    Rule("C-03", "Node older than the locked Next needs", rules_image.old_node, fixes.node_version),
    Rule(
        "C-04",
        "an install without build tools before the build",
        rules_image.production_install,
        fixes.full_install,
    ),
    Rule("C-05", "an image without a start command", rules_image.no_command, fixes_late.start_command),
    Rule(
        "C-06",
        "a server as ENTRYPOINT beside process groups",
        rules_image.entrypoint_server,
        fixes.entrypoint_to_cmd,
    ),
    Rule("C-07", "public build variables without ARG", rules_image.no_build_argument, fixes.build_arguments),
    Rule("C-08", "public build variables under `[env]`", rules_fly.public_env, fixes.public_env_to_args),
    Rule("C-09", "COPY of what the build context does not hold", rules_build.copy_outside),
    Rule("C-10", "a missing or foreign lock file", rules_build.lock_file),
    Rule("C-11", "a .dockerignore that is missing or too short", rules_build.ignore_file, fixes.dockerignore),
    Rule("C-12", "Alpine with packages that have no musl wheels", rules_image.alpine, fixes.debian_base),
    Rule("C-13", "a named Dockerfile that does not exist", rules_build.missing_dockerfile),
    Rule("C-14", "packages that make an image very large", rules_build.huge_packages),
    Rule("C-15", "a standalone server without HOSTNAME and PORT", rules_image.no_hostname, fixes.hostname),
    Rule("C-16", "a start command in shell form", rules_image.shell_form, fixes.exec_form),
    Rule("C-20", "a server that listens on localhost only", rules_run.local_host, fixes.all_addresses),
    Rule("C-21", "ports that disagree", rules_run.ports, fixes_late.port),
    Rule("C-22", "a start command whose module does not exist", rules_run.missing_module),
    Rule("C-23", "a worker module that does nothing when started", rules_run.no_main, fixes.main_guard),
    Rule("C-24", "process groups and services that do not match", rules_fly.groups, fixes.service_groups),
    Rule("C-25", "a package root that the image does not have", rules_python.foreign_root),
    Rule("C-26", "shell syntax in a process command", rules_run.shell_syntax, fixes_late.shell),
    Rule(
        "C-27",
        "a service for a consumer, or a consumer that may sleep",
        rules_late.served_worker,
        fixes_late.served,
    ),
    Rule("C-28", "a scheduler on more than one machine", rules_python.schedulers),
    Rule("C-29", "a compose service that runs once", rules_late.one_shots),
    Rule("C-30", "no shallow health route", rules_run.no_health),
    Rule("C-40", "an extension's wrong or unknown name", rules_data.extension_names, fixes.extension_name),
    Rule("C-41", "an extension that the chosen database does not offer", rules_schema.not_offered),
    Rule("C-42", "another engine than Postgres", rules_data.other_engine),
    Rule("C-43", "a URL that the driver refuses", rules_schema.refused_url),
    Rule("C-44", "a schema outside the image", rules_data.schema_outside),
    Rule("C-45", "more pool connections than the plan has", rules_pool.pool_sizes),
    Rule(
        "C-46",
        "migrations that are not in the image, or look elsewhere",
        rules_schema.migrations,
        fixes_late.migration_files,
    ),
    Rule("C-47", "vectors of another length than the tables hold", rules_python.vector_length),
    Rule("C-60", "a Kafka client without sign-in", rules_data.no_sasl),
    Rule("C-61", "an Upstash Kafka address", rules_data.upstash),
    Rule(
        "C-62", "security fixed against the chosen broker", rules_broker.contrary, fixes_late.broker_security
    ),
    Rule("C-63", "MSK Serverless", rules_broker.serverless),
    Rule("C-64", "a required variable that nothing mentions", rules_data.unknown_values),
    Rule("C-65", "a public default for a secret", rules_data.default_secrets),
    Rule("C-66", "tracked secret files", rules_data.tracked_secrets),
    Rule("C-67", "a secret that is a file", rules_data.file_secrets),
    Rule("C-68", "CORS origins that cannot work", rules_data.cors),
    Rule("C-69", "localhost in browser code", rules_data.localhost_in_browser),
    Rule(
        "C-70", "an imported package that is not installed", rules_python.not_installed, fixes_late.dependency
    ),
    Rule("C-80", "a placeholder as app name", rules_fly.placeholder, fixes_late.placeholder),
    Rule("C-81", "an app name that Fly refuses", rules_fly.app_name, fixes_late.app_name),
    Rule("C-82", "a volume for more than one machine", rules_late.mounts),
    Rule("C-83", "regions that differ", rules_late.regions, fixes_late.region),
    Rule("C-84", "too little memory", rules_fly.memory, fixes.memory),
    Rule("C-85", "several Fly configurations for one app", rules_fly.duplicates),
    Rule("C-86", "a template repository", rules_fly.template),
    Rule("C-87", "a file that cannot be read as what it is", rules_fly.unreadable),
    Rule("C-90", "`EmailStr` without `email-validator`", rules_python.email_validator, fixes_late.dependency),
    Rule("C-91", "uv's environment not on PATH", rules_image.uv_path, fixes.venv_path),
    Rule(
        "C-92",
        "`uv run` by a user who may not write the environment",
        rules_late.uv_as_root,
        fixes_late.without_uv,
    ),
    Rule(
        "C-93",
        "a plain value where pydantic-settings wants JSON",
        rules_data.json_lists,
        fixes_late.json_list,
    ),
    Rule("C-94", "a client that goes on without its broker", rules_python.falls_back),
    Rule("C-95", "API and worker on different topics", rules_python.other_topics),
    Rule("C-96", "a worker that gives up when the broker is late", rules_python.late_broker),
    Rule("C-97", "a client that can only sign in", rules_broker.only_sasl),
    Rule("C-98", "worker code that cannot work", rules_python.cannot_work),
    Rule("C-99", "a needed file that is hidden from the build", rules_late.hidden, fixes_late.unhide),
    Rule("C-100", "a vendor's own database", rules_schema.vendor),
    Rule(
        "C-101",
        "an image that starts a development server",
        rules_run.development_server,
        fixes_late.production_server,
    ),
    Rule("C-102", "a worker inside the API beside a worker service", rules_python.worker_twice),
    Rule("C-103", "secrets in committed scripts", rules_late.committed_secrets),
    Rule("C-104", "an API address written into pages", rules_late.literal_api),
)


def objections(survey: Survey, findings: Findings) -> list[Objection]:
    """Return what all rules have to say, in the table's order; ``fixable`` tells whether ``fix`` can mend it."""
    out: list[Objection] = []
    for rule in RULES:
        for found in rule.check(survey, findings):
            fixable = found.fixable and rule.fix is not None
            out.append(
                replace(found, id=rule.id, fixable=fixable, blocking=found.blocking and not found.handled)
            )
    return list(dict.fromkeys(out))


def fix(objection: Objection, tree: Tree) -> list[FileChange]:
    """Return the files that mend an objection; empty where there is nothing to mend any more.

    Raises:
        KeyError: the rule is unknown, or has no fix.
    """
    rule = next((r for r in RULES if r.id == objection.id), None)
    if rule is None or rule.fix is None:
        raise KeyError(objection.id)
    return [change for change in rule.fix(tree, objection) if change.verb != "same"]


def blocks(objection: Objection, *, database: str, broker: str, provider: str | None = None) -> bool:
    """Tell whether an objection blocks under these choices."""
    if not objection.blocking:
        return False
    if objection.when is None:
        return True
    chosen = {"database.kind": database, "broker.kind": broker, "broker.provider": provider or ""}
    key, _, value = objection.when.partition("=")
    return chosen.get(key) == value
