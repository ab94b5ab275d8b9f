"""Owns the way from answers to a target: the spec to write, the files, and what shall stand on Fly.

Pure but for reading the sources that an image's digest covers.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flywizard.plan import FileChange
from flywizard.project import generate
from flywizard.project.digest import config_digest, source_digest
from flywizard.project.model import Findings
from flywizard.project.propose import propose
from flywizard.project.tree import Tree
from flywizard.secret_plan import Item
from flywizard.spec import BrokerSpec, DatabaseSpec, SchemaSpec, SecretSpec, ServiceSpec, Spec, resolve
from flywizard.steps.target import AppTarget, DatabaseTarget, Group, SecretWish, Target

ROLES = ("api", "worker", "web")
_DATABASES: Mapping[str, Literal["managed", "unmanaged", "existing", "none"]] = {
    "managed": "managed",
    "existing": "existing",
    "none": "none",
}
_BROKERS: Mapping[str, Literal["sasl", "fly", "plaintext", "none"]] = {"sasl": "sasl", "none": "none"}


def make_spec(
    findings: Findings, answers: Mapping[str, str], items: Sequence[Item], previous: Spec | None
) -> Spec:
    """Return the spec that the answers ask for, on the ground of an earlier one where there is one."""
    proposed = propose(
        findings,
        project=answers["project.name"],
        organization=answers["signin.organization"],
        region=answers["signin.region"],
        database=_DATABASES.get(answers.get("database.kind", "")),
        broker=_BROKERS.get(answers.get("broker.kind", "")),
    )
    base = proposed if previous is None else previous
    services: dict[str, ServiceSpec] = {}
    for name, service in {**proposed.services, **base.services}.items():
        services[name] = _service(name, service, proposed.services.get(name), answers, items)
    services = _apart(_placed(services, answers))
    return base.model_copy(
        update={
            "name": answers["project.name"],
            "organization": answers["signin.organization"],
            "region": answers["signin.region"],
            "database": _database(proposed.database, base.database, answers, previous is not None),
            "broker": _broker(base.broker, answers),
            "services": services,
            "secrets": {
                i.name: SecretSpec(source=i.source_word)
                for i in sorted(items, key=lambda i: i.name)
                if _is_secret(i)
            },
        }
    )


def _is_secret(item: Item) -> bool:
    return item.secret or item.purpose.startswith(("kafka-b", "kafka-p", "kafka-m", "kafka-u", "database-"))


def _service(
    name: str,
    service: ServiceSpec,
    proposed: ServiceSpec | None,
    answers: Mapping[str, str],
    items: Sequence[Item],
) -> ServiceSpec:
    update: dict[str, object] = {}
    role = service.role
    if role in ROLES:
        for key, field in (("app", "app"), ("command", "command"), ("health", "health")):
            if answers.get(f"{role}.{key}"):
                update[field] = answers[f"{role}.{key}"]
        if role == "web":
            update.pop("command", None)
        for key, field in (("port", "port"), ("memory", "memory_mb")):
            if answers.get(f"{role}.{key}", "").isdigit():
                update[field] = int(answers[f"{role}.{key}"])
        if role == "api" and answers.get("api.health") == "":
            update["health"] = None
    mine = [i for i in items if name in i.services]
    update["secrets"] = [i.name for i in mine if _is_secret(i)]
    plain = {
        i.name: i.value
        for i in mine
        if not _is_secret(i) and i.value is not None and i.origin in ("you", "env-file", "stand-in")
    }
    env = {k: v for k, v in service.env.items() if k not in update["secrets"]}  # type: ignore[operator]
    if proposed is not None:
        env = {**proposed.env, **env}
    update["env"] = {**env, **plain}
    update |= _left_open(service, proposed)
    return service.model_copy(update=update)


def _left_open(service: ServiceSpec, proposed: ServiceSpec | None) -> dict[str, object]:
    """Return what a flywizard.toml written by hand leaves to flywizard: paths, the fly.toml, build arguments."""
    update: dict[str, object] = {}
    same = proposed is not None and service.path in (None, proposed.path)
    path = service.path
    if path is None and proposed is not None:
        path = update["path"] = proposed.path
        if service.dockerfile is None and service.image is None:
            update["dockerfile"] = proposed.dockerfile
    if service.config is None:
        found = proposed.config if proposed is not None and same else None
        update["config"] = found or posixpath.normpath(posixpath.join(path or ".", "fly.toml"))
    if proposed is not None and service.image is None:
        update["build_args"] = {**proposed.build_args, **service.build_args}
    for name in ("port", "health", "deep_health", "command", "group"):
        if getattr(service, name) is None and proposed is not None and getattr(proposed, name) is not None:
            update[name] = getattr(proposed, name)
    return update


def _apart(services: dict[str, ServiceSpec]) -> dict[str, ServiceSpec]:
    """Give each app a fly.toml of its own: two apps in one file would deploy each other's groups."""
    taken: dict[str, str] = {}
    out = dict(services)
    for name, service in services.items():
        config = service.config or "fly.toml"
        if taken.setdefault(config, service.app) != service.app:
            config = posixpath.join(posixpath.dirname(config), f"fly.{name}.toml")
            taken[config] = service.app
            out[name] = service.model_copy(update={"config": config})
    return out


def _placed(services: dict[str, ServiceSpec], answers: Mapping[str, str]) -> dict[str, ServiceSpec]:
    """Put the worker into the API's app, or into one of its own."""
    api = next((s for s in services.values() if s.role == "api"), None)
    out = dict(services)
    for name, service in services.items():
        if service.role != "worker" or api is None:
            continue
        if answers.get("worker.placement", "group") == "group":
            out[name] = service.model_copy(update={"app": api.app, "config": api.config})
        else:
            app = answers.get("worker.app") or service.app
            config = service.config
            if config in (None, api.config):
                folder = posixpath.dirname(api.config or "")
                config = posixpath.join(folder, f"fly.{name}.toml")
            out[name] = service.model_copy(update={"app": app, "config": config})
    return out


def _database(
    proposed: DatabaseSpec, base: DatabaseSpec, answers: Mapping[str, str], adopted: bool
) -> DatabaseSpec:
    kind = answers.get("database.kind", "none")
    ground = base if adopted else proposed
    method = answers.get("database.schema", "none")
    schema = ground.schema_ if ground.schema_.method not in ("none",) else proposed.schema_
    if method == "none" and schema.method != "command":
        schema = SchemaSpec()
    elif method in ("sql", "alembic", "prisma") and schema.method != method:
        schema = schema.model_copy(update={"method": method})
    update: dict[str, object] = {"kind": kind, "schema_": schema if kind != "none" else SchemaSpec()}
    if kind == "managed":
        update |= {
            "name": answers.get("database.name") or ground.name,
            "plan": answers.get("database.plan", ground.plan),
            "storage_gb": int(answers.get("database.storage_gb") or ground.storage_gb),
            "version": int(answers.get("database.version") or ground.version),
            "url_secret": None,
        }
    if kind == "existing":
        update["url_secret"] = ground.url_secret or proposed.url_secret or "DATABASE_URL"
        update["name"] = None
    if kind != "none":
        update["extensions"] = list(dict.fromkeys([*ground.extensions, *proposed.extensions]))
    return ground.model_copy(update=update)


def _broker(base: BrokerSpec, answers: Mapping[str, str]) -> BrokerSpec:
    kind = answers.get("broker.kind", "none")
    if kind != "sasl":
        return BrokerSpec(kind="none") if kind == "none" else base
    return base.model_copy(
        update={
            "kind": "sasl",
            "provider": answers.get("broker.provider") or None,
            "bootstrap": answers.get("broker.bootstrap") or None,
            "protocol": answers.get("broker.protocol") or None,
            "mechanism": answers.get("broker.mechanism") or None,
            "ca_file": answers.get("broker.ca_file") or None,
            "topics": [t.strip() for t in answers.get("broker.topics", "").split(",") if t.strip()],
        }
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """All that a plan is made of."""

    spec: Spec
    target: Target
    changes: tuple[FileChange, ...]


def resolved(
    spec: Spec,
    tree: Tree,
    root: Path,
    findings: Findings,
    items: Sequence[Item],
    *,
    fixes: Sequence[FileChange] = (),
    fresh: frozenset[str] = frozenset(),
    commit: str = "none",
) -> Resolved:
    """Return the target and the files of a spec.

    Raises:
        OSError: a source file can't be read.
    """
    made = {c.path: c for c in generate.files(tree, spec, findings)}
    changes = {c.path: c for c in fixes} | made
    final = resolve(spec)
    overlay = {path: change.after for path, change in changes.items()}
    apps = []
    for app, members in final.apps().items():
        apps.append(_app(final, app, members, root, overlay, tree, findings, items, fresh))
    target = Target(
        final.name,
        final.organization,
        final.region,
        tuple(_shared_images(apps, final)),
        _database_target(final, findings, tree),
        commit,
    )
    return Resolved(spec, target, tuple(changes.values()))


def _app(
    spec: Spec,
    app: str,
    members: Mapping[str, ServiceSpec],
    root: Path,
    overlay: Mapping[str, str],
    tree: Tree,
    findings: Findings,
    items: Sequence[Item],
    fresh: frozenset[str],
) -> AppTarget:
    name, first = next(iter(members.items()))
    config = first.config or "fly.toml"
    text = overlay.get(config) or tree.text(config) or ""
    context = first.path or "."
    dockerfile = first.dockerfile or posixpath.normpath(posixpath.join(context, "Dockerfile"))
    label = ""
    if first.image is None:
        label = "src-" + source_digest(
            root, context=context, dockerfile=dockerfile, build_args=first.build_args,
            target=first.build_target, overlay=overlay,
        )  # fmt: skip
    groups = tuple(
        Group(
            spec.group_of(n), s.role, n, s.machines, s.memory_mb,
            public=s.role in ("api", "web") and s.port is not None,
            stops_when_idle=s.role == "web",
        )
        for n, s in members.items()
    )  # fmt: skip
    release_command = next((s.release_command for s in members.values() if s.release_command), None)
    return AppTarget(
        name=app,
        service=first.role if first.role != "other" else name,
        config=config,
        context=context,
        dockerfile=dockerfile,
        groups=groups,
        secrets=tuple(_wishes(spec, members, findings, items, fresh)),
        image=first.image,
        label=label,
        build_args=tuple(sorted(first.build_args.items())),
        health=first.health,
        deep_health=first.deep_health,
        config_digest=config_digest(text),
        release_command=release_command,
        needs_database=spec.database.kind != "none" and any(s.role != "web" for s in members.values()),
        public_values=tuple(v for v in first.build_args.values() if v.startswith("https://")),
    )


def _shared_images(apps: Sequence[AppTarget], spec: Spec) -> list[AppTarget]:
    """Let a worker app of its own take the API's image when both are built from the same source."""
    from dataclasses import replace

    out = []
    for app in apps:
        source = next(
            (
                a
                for a in apps
                if a.service == "api" and a.name != app.name and a.label and a.label == app.label
            ),
            None,
        )
        out.append(replace(app, image_of=source.name) if source is not None else app)
    return out


def _wishes(
    spec: Spec,
    members: Mapping[str, ServiceSpec],
    findings: Findings,
    items: Sequence[Item],
    fresh: frozenset[str],
) -> list[SecretWish]:
    by_name = {i.name: i for i in items}
    names = dict.fromkeys(name for s in members.values() for name in s.secrets)
    parts = {variable: part for part, variable in findings.database.parts_env.items()}
    driver = findings.database.driver or ""
    out = []
    for name in names:
        item = by_name.get(name)
        purpose = item.purpose if item else ""
        why = item.why if item else "flywizard.toml"
        new = name in fresh
        managed = spec.database.kind == "managed"
        if purpose == "database-url" and managed:
            out.append(SecretWish(name, "database", why=why, driver=driver))
        elif purpose == "database-direct-url" and managed:
            out.append(SecretWish(name, "direct-database", why=why, driver=driver))
        elif purpose == "database-part" and managed and name in parts:
            out.append(SecretWish(name, "part", parts[name], why=why))
        elif purpose in ("database-url", "database-direct-url") and spec.database.kind == "existing":
            out.append(SecretWish(name, "vault", spec.database.url_secret or name, why, new, driver))
        elif item is not None and item.value is not None:
            out.append(SecretWish(name, "literal", why=why, literal=item.value))
        else:
            out.append(SecretWish(name, "vault", name, why, new))
    return out


def _database_target(spec: Spec, findings: Findings, tree: Tree) -> DatabaseTarget | None:
    database = spec.database
    if database.kind not in ("managed", "existing"):
        return None
    evidence = {e.name: f"{e.evidence.file}:{e.evidence.line}" for e in findings.database.extensions}
    files: tuple[tuple[str, str], ...] = ()
    if database.schema_.method == "sql":
        files = tuple((path, tree.text(path) or "") for path in database.schema_.files)
    return DatabaseTarget(
        kind="managed" if database.kind == "managed" else "existing",
        name=database.name or database.url_secret or "database",
        plan=database.plan,
        storage_gb=database.storage_gb,
        version=database.version,
        database=database.database or "fly-db",
        extensions=tuple((e, evidence.get(e, "flywizard.toml")) for e in database.extensions),
        schema=files,
        url_key=database.url_secret or "DATABASE_URL",
    )


def equivalent(answers: Mapping[str, tuple[str, str]], secrets: Sequence[str], command: str = "apply") -> str:
    """Return the one-line command that gives the same answers without questions.

    ``answers`` are question ids to (value, source); defaults and what flywizard.toml says are left out.
    """
    from flywizard.answers import BY_ID

    words = ["flywizard", command, "--yes", "--no-input"]
    for field_id, (value, source) in answers.items():
        question = BY_ID.get(field_id)
        if (
            question is None
            or question.kind == "secret"
            or source in ("default", "detected", "flywizard.toml")
        ):
            continue
        words += [question.flag, value]
    for name in secrets:
        words += ["--secret", f"{name}=env:{name}"]
    return shlex.join(words)
