"""Owns writing fly.toml: a fresh one from the spec, or an existing one with the smallest change (tomlkit)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flywizard import __version__

if TYPE_CHECKING:
    from flywizard.spec import ServiceSpec, Spec


def fly_toml(
    spec: Spec,
    app: str,
    previous: str | None = None,
    *,
    static: frozenset[str] = frozenset(),
    awake: frozenset[str] = frozenset(),
    bare: frozenset[str] = frozenset(),
) -> str:
    """Return the fly.toml of an app.

    Args:
        spec: resolved (``spec.resolve``).
        app: one of ``spec.apps()``.
        previous: the existing text. Comments, order, unknown keys and process group names stay; where nothing
            differs the text comes back byte for byte.
        static: services that only serve pages, without Node at run time.
        awake: services that consume in their own process, and must not sleep.
        bare: services whose image does not start what the spec says, so that the command must be written.

    Raises:
        tomlkit.exceptions.ParseError: the existing text is no TOML.
    """
    members = spec.apps()[app]
    if previous is None:
        return _fresh(spec, app, members, static, awake)
    return _adopted(spec, app, members, previous, bare)


def relative_dockerfile(service: ServiceSpec) -> str | None:
    """Return the Dockerfile relative to the folder of the fly.toml, as flyctl reads it."""
    if service.dockerfile is None or service.image is not None:
        return None
    folder = posixpath.dirname(service.config or "") or "."
    return posixpath.relpath(service.dockerfile, folder)


def _public(members: Mapping[str, ServiceSpec]) -> tuple[str, ServiceSpec] | None:
    """Return the service that is reached from outside."""
    return next(((n, s) for n, s in members.items() if s.role in {"api", "web"} and s.port), None)


def _quoted(text: str) -> str:
    import tomlkit

    return tomlkit.string(text).as_string()


def _fresh(
    spec: Spec,
    app: str,
    members: Mapping[str, ServiceSpec],
    static: frozenset[str],
    awake: frozenset[str],
) -> str:
    name, first = next(iter(members.items()))
    workers = [n for n, s in members.items() if s.role == "worker"]
    out = [
        f"# Made by flywizard {__version__} from flywizard.toml. Yours to change: comments and other keys are kept.",
        f"app = {_quoted(app)}",
        f"primary_region = {_quoted(spec.region)}",
        'kill_signal = "SIGTERM"',
        f'kill_timeout = "{60 if workers else 30}s"',
    ]
    if first.role == "web" and name not in static:
        out.append("swap_size_mb = 512")
    dockerfile = relative_dockerfile(first)
    if dockerfile:
        out += ["", "[build]", f"  dockerfile = {_quoted(dockerfile)}"]
        if first.build_target:
            out.append(f"  build-target = {_quoted(first.build_target)}")
        if first.build_args:
            out += ["", "  [build.args]"] + [f"    {k} = {_quoted(v)}" for k, v in first.build_args.items()]
    out += ["", "[deploy]", '  strategy = "rolling"']
    release = next((s.release_command for s in members.values() if s.release_command), None)
    if release:
        out += [f"  release_command = {_quoted(release)}", '  release_command_timeout = "10m"']
    env = _environment(members, static)
    if env:
        out += ["", "[env]"] + [f"  {k} = {_quoted(v)}" for k, v in env.items()]
    commands = {spec.group_of(n): s.command or "" for n, s in members.items()}
    if any(commands.values()):
        out += ["", "[processes]"] + [f"  {group} = {_quoted(text)}" for group, text in commands.items()]
    public = _public(members)
    if public:
        name, service = public
        out += _http_service(spec.group_of(name), service, awake=name in awake)
    for name, service in members.items():
        out += [
            "",
            "[[vm]]",
            '  size = "shared-cpu-1x"',
            f'  memory = "{service.memory_mb}mb"',
            f"  processes = [{_quoted(spec.group_of(name))}]",
        ]
    for name in workers:
        out += ["", "[[restart]]", '  policy = "always"', f"  processes = [{_quoted(spec.group_of(name))}]"]
    return "\n".join(out) + "\n"


def _environment(members: Mapping[str, ServiceSpec], static: frozenset[str]) -> dict[str, str]:
    """Return the variables of an app: those of its services, and what its servers need on Fly."""
    env: dict[str, str] = {}
    for name, service in members.items():
        if service.role == "web" and name not in static:
            env |= {"NODE_ENV": "production", "HOSTNAME": "0.0.0.0", "PORT": str(service.port or 3000)}  # noqa: S104
        elif service.role == "api":
            env["FORWARDED_ALLOW_IPS"] = "*"
    for service in members.values():
        env |= service.env
    return env


def _http_service(group: str, service: ServiceSpec, *, awake: bool = False) -> list[str]:
    idle = service.role == "web" and not awake
    out = [
        "",
        "[http_service]",
        f"  internal_port = {service.port}",
        "  force_https = true",
        f'  auto_stop_machines = "{"off" if awake else "stop"}"',
        "  auto_start_machines = true",
        f"  min_machines_running = {0 if idle else 1}",
        f"  processes = [{_quoted(group)}]",
        "",
        "  [http_service.concurrency]",
        '    type = "requests"',
        "    soft_limit = 200",
        "    hard_limit = 250",
    ]
    if service.health:
        out += [
            "",
            "  [[http_service.checks]]",
            '    method = "GET"',
            f"    path = {_quoted(service.health)}",
            '    interval = "15s"',
            '    timeout = "5s"',
            '    grace_period = "20s"',
            "    [http_service.checks.headers]",
            '      X-Forwarded-Proto = "https"',
        ]
    return out


def _adopted(
    spec: Spec, app: str, members: Mapping[str, ServiceSpec], previous: str, bare: frozenset[str]
) -> str:
    import tomlkit

    document = tomlkit.parse(previous)
    changed = _set(document, "app", app) | _set(document, "primary_region", spec.region)
    first = next(iter(members.values()))
    changed |= _build(document, first)
    release = next((s.release_command for s in members.values() if s.release_command), None)
    if release:
        changed |= _set(_table(document, "deploy"), "release_command", release)
    env = {k: v for s in members.values() for k, v in s.env.items()}
    if env:
        table = _table(document, "env")
        for key, value in env.items():
            changed |= _set(table, key, value)
    changed |= _processes(document, spec, members, bare)
    changed |= _service(document, spec, members)
    changed |= _machines(document, spec, members)
    return tomlkit.dumps(document) if changed else previous


def _table(parent: Any, name: str) -> Any:
    import tomlkit

    if not isinstance(parent.get(name), dict):
        parent[name] = tomlkit.table()
    return parent[name]


def _set(table: Any, key: str, value: Any) -> bool:
    """Set a value where it differs; tell whether it did."""
    old = table.get(key)
    old = old.unwrap() if hasattr(old, "unwrap") else old
    if old == value and type(old) is type(value):
        return False
    table[key] = value
    return True


def _build(document: Any, service: ServiceSpec) -> bool:
    changed = False
    dockerfile = relative_dockerfile(service)
    build = document.get("build")
    named = build.get("dockerfile") if isinstance(build, dict) else None
    if dockerfile and posixpath.normpath(str(named or "Dockerfile")) != dockerfile:
        changed |= _set(_table(document, "build"), "dockerfile", dockerfile)
    if service.build_target:
        changed |= _set(_table(document, "build"), "build-target", service.build_target)
    for key, value in service.build_args.items():
        changed |= _set(_table(_table(document, "build"), "args"), key, value)
    return changed


def _processes(document: Any, spec: Spec, members: Mapping[str, ServiceSpec], bare: frozenset[str]) -> bool:
    existing = document.get("processes")
    commands = {spec.group_of(n): s.command or "" for n, s in members.items()}
    alone = len(commands) == 1 and set(commands) == {"app"} and not existing
    if alone and not (bare & set(members) and commands["app"]):
        return False
    changed = False
    table = _table(document, "processes")
    for group, text in commands.items():
        old = table.get(group)
        if isinstance(old, list):
            import shlex

            if list(old) == shlex.split(text):
                continue
        if old is not None and not text:
            continue
        changed |= _set(table, group, text)
    return changed


def _service(document: Any, spec: Spec, members: Mapping[str, ServiceSpec]) -> bool:
    import tomlkit

    public = _public(members)
    if public is None:
        return False
    name, service = public
    group = spec.group_of(name)
    workers = {spec.group_of(n) for n, s in members.items() if s.role == "worker"}
    table = document.get("http_service")
    if isinstance(document.get("services"), list) and not isinstance(table, dict):
        return _older_services(document, group, service, workers)
    if not isinstance(table, dict):
        part = tomlkit.parse("\n".join(_http_service(group, service)) + "\n")
        document.add(tomlkit.nl())
        document["http_service"] = part["http_service"]
        return True
    changed = _set(table, "internal_port", service.port)
    changed |= _groups(document, table, group, workers)
    if service.health and not table.get("checks"):
        part = tomlkit.parse("\n".join(_http_service(group, service)) + "\n")
        table["checks"] = part["http_service"]["checks"]
        changed = True
    return changed


def _groups(document: Any, table: Any, group: str, workers: set[str]) -> bool:
    """Name the public group where the app has several, and no worker."""
    groups = list(table["processes"]) if isinstance(table.get("processes"), list) else None
    if groups is None:
        return isinstance(document.get("processes"), dict) and _set(table, "processes", [group])
    wanted = [g for g in groups if g not in workers]
    return _set(table, "processes", wanted if group in wanted else [*wanted, group])


def _older_services(document: Any, group: str, service: ServiceSpec, workers: set[str]) -> bool:
    """Mend ``[[services]]``: the one on 80 or 443 is the public one; others are somebody's own."""
    entries = [e for e in document["services"] if isinstance(e, dict)]
    public = next((e for e in entries if _web_ports(e) and _serves(e, group)), None)
    if public is None:
        public = entries[0] if len(entries) == 1 and _serves(entries[0], group) else None
    changed = False
    for entry in entries:
        if entry is public:
            changed |= _set(entry, "internal_port", service.port)
            changed |= _groups(document, entry, group, workers)
            if service.health and not entry.get("http_checks") and not entry.get("tcp_checks"):
                changed |= _checks(entry, service.health)
        elif isinstance(document.get("processes"), dict) and not entry.get("processes"):
            changed |= _set(entry, "processes", [group])
    return changed


def _web_ports(entry: Any) -> bool:
    ports = entry.get("ports")
    return (
        any(isinstance(p, dict) and p.get("port") in (80, 443) for p in ports if p)
        if isinstance(ports, list)
        else False
    )


def _serves(entry: Any, group: str) -> bool:
    named = entry.get("processes")
    return not isinstance(named, list) or not named or group in named


def _checks(entry: Any, path: str) -> bool:
    import tomlkit

    check = tomlkit.table()
    check.update(
        {
            "method": "get",
            "path": path,
            "protocol": "http",
            "interval": "15s",
            "timeout": "5s",
            "grace_period": "20s",
        }
    )
    headers = tomlkit.table()
    headers["X-Forwarded-Proto"] = "https"
    check["headers"] = headers
    checks = tomlkit.aot()
    checks.append(check)
    entry["http_checks"] = checks
    return True


def _machines(document: Any, spec: Spec, members: Mapping[str, ServiceSpec]) -> bool:
    """Add a size for each group that has none; sizes that are there stay, unless the spec asks for another."""
    import tomlkit

    from flywizard.spec import ServiceSpec

    entries = document.get("vm")
    entries = [entries] if isinstance(entries, dict) else list(entries) if isinstance(entries, list) else []
    for_all = any(not e.get("processes") for e in entries)
    named = {g for e in entries for g in e.get("processes") or ()}
    changed = False
    for name, service in members.items():
        group = spec.group_of(name)
        if service.memory_mb != ServiceSpec.model_fields["memory_mb"].default:
            for entry in entries:
                if group in (entry.get("processes") or (group,)) and _megabytes(entry) not in (
                    None,
                    service.memory_mb,
                ):
                    changed |= _set(entry, "memory", f"{service.memory_mb}mb")
        if for_all or group in named:
            continue
        inline = isinstance(document.get("vm"), tomlkit.items.Array)
        table: Any = tomlkit.inline_table() if inline else tomlkit.table()
        table.update({"size": "shared-cpu-1x", "memory": f"{service.memory_mb}mb", "processes": [group]})
        if isinstance(document.get("vm"), list):
            document["vm"].append(table)
        else:
            array = tomlkit.aot()
            array.append(table)
            document["vm"] = array
        changed = True
    return changed


def _megabytes(entry: Mapping[str, Any]) -> int | None:
    """Return the memory of a vm entry in MB; None where it isn't said or can't be read."""
    value = entry.get("memory", entry.get("memory_mb"))
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    text = str(value).lower().strip() if value is not None else ""
    for unit, factor in (("gb", 1024), ("gib", 1024), ("mb", 1), ("mib", 1)):
        if text.endswith(unit) and text[: -len(unit)].strip().isdigit():
            return int(text[: -len(unit)].strip()) * factor
    return int(text) if text.isdigit() else None
