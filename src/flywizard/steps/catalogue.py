"""Owns the catalogue: which steps a target needs, in which order. The order is the critical path.

Host names are known beforehand, so the web build waits for nothing but its app; images are built while the
database is made; the worker shares the API's image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flywizard import cost
from flywizard.plan import Cost, FileChange, Plan, Step
from flywizard.steps import apps, checks, database, files, images, releases, secrets
from flywizard.steps.target import AppTarget, Target

SPEC_FILE = "flywizard.toml"


def build_plan(
    target: Target, changes: Sequence[FileChange], inputs: Mapping[str, str] | None = None
) -> Plan:
    """Return the plan that makes the target stand.

    ``changes`` are the files to write, ``flywizard.toml`` among them; a file that stays the same has no step.
    ``inputs`` are digests of what the plan rests on.
    """
    steps: list[Step] = []
    written = [c for c in changes if c.verb != "same"]
    first = tuple(f"file.{c.path}" for c in written if c.path == SPEC_FILE)
    for change in sorted(written, key=lambda c: c.path != SPEC_FILE):
        why = "your answers" if change.path == SPEC_FILE else _why(change)
        steps.append(files.write_file(change, why=why, needs=() if change.path == SPEC_FILE else first))
    all_files = tuple(s.id for s in steps)
    steps += [apps.create_app(target, app, needs=first) for app in target.apps]
    before_release: list[str] = []
    if target.database is not None:
        steps += _database_steps(target, first)
        before_release = [
            s.id for s in steps if s.id in ("database", "schema") or s.id.startswith("extension.")
        ]
    for app in target.apps:
        steps += _app_steps(target, app, all_files, before_release)
    return Plan(target.project, tuple(_in_order(steps)), tuple(changes), dict(inputs or {}))


def _why(change: FileChange) -> str:
    return "new" if change.before is None else "keeps your comments"


def _database_steps(target: Target, first: tuple[str, ...]) -> list[Step]:
    wanted = target.database
    assert wanted is not None  # noqa: S101 - the caller looked
    steps: list[Step] = []
    ready: tuple[str, ...] = first
    if wanted.kind == "managed":
        costs = cost.postgres(wanted.plan, wanted.storage_gb)
        steps.append(database.cluster(target, wanted, costs, needs=first))
        ready = (database.CLUSTER,)
    for name, why in wanted.extensions:
        steps.append(database.extension(wanted, name, why, needs=ready))
    if wanted.schema:
        needs = (*ready, *(s.id for s in steps if s.id.startswith("extension.")))
        steps.append(database.schema(wanted, needs=tuple(dict.fromkeys(needs))))
    return steps


def _app_steps(
    target: Target, app: AppTarget, all_files: tuple[str, ...], before_release: Sequence[str]
) -> list[Step]:
    made = f"app.{app.name}"
    steps: list[Step] = []
    needs = [made]
    if app.secrets:
        derived = any(s.kind in ("database", "direct-database", "part") for s in app.secrets)
        steps.append(secrets.stage(app, needs=(made, "database") if derived else (made,)))
        needs.append(f"secrets.{app.name}")
    if not app.image and not app.image_of:
        steps.append(images.build(app, needs=(made, *all_files)))
        needs.append(f"build.{app.name}")
    if app.image_of:
        needs += [f"build.{app.image_of}"] if _builds(target, app.image_of) else []
        needs.append(f"release.{app.image_of}")
    if app.service == "web":
        needs += [f"release.{a.name}" for a in target.apps if a.service == "api"]
    if app.needs_database:
        needs += before_release
    needs += all_files
    steps.append(
        releases.release(target, app, _machine_costs(target, app), needs=tuple(dict.fromkeys(needs)))
    )
    after = [f"release.{app.name}"]
    if app.public:
        steps.append(apps.addresses(app, needs=tuple(after)))
        after = [f"address.{app.name}"]
    steps.append(checks.smoke(target, app, needs=tuple(after)))
    return steps


def _builds(target: Target, name: str) -> bool:
    return any(a.name == name and not a.image and not a.image_of for a in target.apps)


def _machine_costs(target: Target, app: AppTarget) -> tuple[Cost, ...]:
    return tuple(
        cost.machines(
            f"{app.name} {g.name} ×{g.machines}", g.machines, g.memory_mb, target.region,
            stops_when_idle=g.stops_when_idle,
        )
        for g in app.groups
    )  # fmt: skip


_ORDER = ("file", "app", "database", "extension", "schema", "secrets", "build", "release", "address", "check")


def _in_order(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda s: _ORDER.index(s.id.partition(".")[0]))
