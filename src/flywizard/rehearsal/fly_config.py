"""Reading `fly.toml` as flyctl does: find, parse, put in canonical form, judge, and name unknown keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywizard.rehearsal.fly_core import Failure, duration_text, seconds_of

FILES = ("fly.toml", "fly.json", "fly.yaml")
CHECK = {
    "port", "type", "interval", "timeout", "grace_period", "restart_limit", "method", "path", "protocol",
    "tls_skip_verify", "tls_server_name", "headers", "processes",
}  # fmt: skip
CONCURRENCY = {"type": None, "soft_limit": None, "hard_limit": None}
MACHINE_CHECK = {
    "image": None,
    "entrypoint": None,
    "command": None,
    "kill_signal": None,
    "kill_timeout": None,
}
AUTO = {"auto_stop_machines": None, "auto_start_machines": None, "min_machines_running": None}
ANY: dict[str, Any] = {"*": None}
CHECK_KEYS: dict[str, Any] = {k: ANY if k == "headers" else None for k in CHECK}
TLS = {"alpn": None, "versions": None, "default_self_signed": None}
HTTP_OPTIONS = {
    "compress": None,
    "response": {"headers": ANY, "pristine": None},
    "h2_backend": None,
    "headers_read_timeout": None,
    "idle_timeout": None,
    "replay_cache": ANY,
}
VM: dict[str, Any] = dict.fromkeys(
    ("size", "memory", "memory_mb", "cpus", "cpu_kind", "gpus", "gpu_kind", "host_dedication_id", "kernel_args",
     "processes", "persist_rootfs")
)  # fmt: skip
PORT = {
    "port": None, "handlers": None, "start_port": None, "end_port": None, "force_https": None,
    "tls_options": TLS, "http_options": HTTP_OPTIONS, "proxy_proto_options": ANY,
}  # fmt: skip
KEYS: dict[str, Any] = {
    **dict.fromkeys(
        ("app", "primary_region", "kill_signal", "kill_timeout", "swap_size_mb", "console_command",
         "host_dedication_id")
    ),
    "build": {
        **dict.fromkeys(("builder", "buildpacks", "builtin", "dockerfile", "ignorefile", "image", "build-target",
                         "compression", "compression_level", "use_zstd")),
        "args": ANY,
        "settings": ANY,
    },
    "deploy": {
        **dict.fromkeys(("strategy", "release_command", "release_command_timeout", "wait_timeout", "max_unavailable",
                         "seed_command", "release_command_compute")),
        "release_command_vm": VM,
    },
    "env": ANY,
    "processes": ANY,
    "http_service": {
        **dict.fromkeys(("internal_port", "force_https", "processes")),
        **AUTO,
        "concurrency": CONCURRENCY,
        "checks": CHECK_KEYS,
        "machine_checks": MACHINE_CHECK,
        "http_options": HTTP_OPTIONS,
        "tls_options": TLS,
    },
    "services": {
        **dict.fromkeys(("protocol", "internal_port", "processes")),
        **AUTO,
        "ports": PORT,
        "concurrency": CONCURRENCY,
        "tcp_checks": CHECK_KEYS,
        "http_checks": CHECK_KEYS,
        "machine_checks": MACHINE_CHECK,
    },
    "checks": {"*": CHECK_KEYS},
    "mounts": dict.fromkeys(
        ("source", "destination", "initial_size", "snapshot_retention", "scheduled_snapshots", "processes",
         "auto_extend_size_threshold", "auto_extend_size_increment", "auto_extend_size_limit")
    ),
    "vm": VM,
    "restart": dict.fromkeys(("policy", "retries", "processes")),
    "metrics": dict.fromkeys(("port", "path", "https", "processes")),
    "statics": dict.fromkeys(("guest_path", "url_prefix", "tigris_bucket", "index_document")),
    "files": dict.fromkeys(("guest_path", "local_path", "raw_value", "secret_name", "processes")),
    "experimental": ANY,
}  # fmt: skip
LISTS = ("services", "mounts", "vm", "restart", "metrics", "statics", "files")
TOP = (
    "app", "primary_region", "kill_signal", "kill_timeout", "swap_size_mb", "console_command", "experimental",
    "build", "deploy", "env", "processes", "mounts", "http_service", "services", "checks", "files", "restart",
    "vm", "statics", "metrics",
)  # fmt: skip
HTTP_ORDER = (
    "internal_port", "force_https", "auto_stop_machines", "auto_start_machines", "min_machines_running", "processes",
    "concurrency", "tls_options", "http_options", "checks", "machine_checks",
)  # fmt: skip
CHECK_ORDER = (
    "port", "type", "interval", "timeout", "grace_period", "restart_limit", "method", "path", "protocol",
    "tls_skip_verify", "tls_server_name", "headers", "processes",
)  # fmt: skip
STRATEGIES = ("canary", "rolling", "immediate", "bluegreen", "")
INTEGERS = {"http_service": ("HTTPService", "internal_port"), "services": ("Service", "internal_port")}


@dataclass(slots=True)
class AppConfig:
    """A `fly.toml`: `path` as it is shown, `raw` as written, `definition` in canonical form."""

    path: str
    raw: dict[str, Any]
    definition: dict[str, Any]
    type_error: str = ""

    def groups(self) -> list[str]:
        """Process groups; without `[processes]` there is one, `app`."""
        return sorted(self.definition.get("processes") or {"app": ""})

    def default_group(self) -> str:
        """The group that sections without `processes` belong to."""
        groups = self.groups()
        return "app" if "app" in groups else groups[0]

    def applies(self, section: Mapping[str, Any], group: str) -> bool:
        """Whether a section is meant for a group."""
        named = section.get("processes") or []
        return group in named if named else group == self.default_group()


def find_config(flag: str, directory: Path) -> str:
    """The configuration file's path; `""` when none is named and none lies there.

    Raises:
        Failure: the named one does not exist.
    """
    if flag:
        path = directory / flag
        if path.is_dir():
            for name in FILES:
                if (path / name).is_file():
                    return os.path.join(flag, name)
        if path.is_file():
            return flag
        raise Failure(
            f"config file not found at specified path: {flag} (also tried: {os.path.join(flag, 'fly.toml')})"
        )
    for name in FILES:
        if (directory / name).is_file():
            return str(directory / name)
    return ""


def app_of_directory(flag: str) -> str:
    """The app that the named file, or the one in the working directory, is for."""
    try:
        shown = find_config(flag, Path.cwd())
        return str(load(shown, Path.cwd()).definition.get("app", "")) if shown else ""
    except Failure:
        return ""


def load(shown: str, directory: Path) -> AppConfig:
    """Reads a configuration file.

    Raises:
        Failure: it cannot be read, or is no TOML.
    """
    import tomllib

    try:
        text = (directory / shown).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"failed loading app config from {shown}: {error}") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"failed loading app config from {shown}: {_picture(text, str(error))}") from None
    return AppConfig(shown, raw, canonical(raw), _type_error(raw))


def _picture(text: str, message: str) -> str:
    """A TOML error as flyctl's parser draws it."""
    found = re.search(r"\(at line (\d+), column (\d+)\)", message)
    lines = text.split("\n")
    row, column = (int(found[1]), int(found[2])) if found else (len(lines), 1)
    what = (
        "basic strings cannot have new lines"
        if "Illegal character '\\n'" in message
        else message.split(" (at ")[0]
    )
    picture = f"row {row} column {column}\n{row}| {lines[row - 1]}\n | {' ' * (column - 1)}~ {what}"
    return picture + (f"\n{row + 1}| {lines[row]}" if row < len(lines) and lines[row] else "")


def _type_error(raw: Mapping[str, Any]) -> str:
    for section, (struct, key) in INTEGERS.items():
        parts = raw.get(section)
        for part in parts if isinstance(parts, list) else [parts]:
            value = part.get(key) if isinstance(part, dict) else None
            if value is not None and not isinstance(value, int):
                kind = {str: "string", float: "number", list: "array"}.get(type(value), "object")
                return (
                    f"json: cannot unmarshal {kind} into Go struct field {struct}.{section}.{key} of type int"
                )
    return ""


def _duration(value: Any) -> Any:
    """A check's duration in Go's form; bare numbers are milliseconds."""
    try:
        return duration_text(value / 1000 if isinstance(value, int) else seconds_of(str(value)))
    except ValueError:
        return value


def _ordered(section: Mapping[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    return {k: section[k] for k in (*order, *(k for k in section if k not in order)) if k in section}


def _check(raw: Mapping[str, Any]) -> dict[str, Any]:
    check = {k: _duration(v) if k in ("interval", "timeout", "grace_period") else v for k, v in raw.items()}
    return _ordered(check, CHECK_ORDER)


def autostop(value: Any) -> Any:
    """`auto_stop_machines` as it goes over the wire: `"stop"` is true, `"off"` is false."""
    return {"stop": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _service(raw: Mapping[str, Any]) -> dict[str, Any]:
    service = dict(raw)
    if "auto_stop_machines" in service:
        service["auto_stop_machines"] = autostop(service["auto_stop_machines"])
    for key in ("checks", "tcp_checks", "http_checks"):
        if key in service:
            service[key] = [_check(c) for c in service[key]]
    return _ordered(service, HTTP_ORDER)


def canonical(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in the form and order in which flyctl sends it (`definition`); unknown keys are dropped."""
    made: dict[str, Any] = {}
    for key in TOP:
        if key not in raw:
            continue
        value = raw[key]
        if key in LISTS and isinstance(value, dict):
            value = [value]
        match key:
            case "env":
                value = {
                    k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in sorted(value.items())
                }
            case "processes":
                value = dict(sorted(value.items()))
            case "kill_timeout":
                value = f"{value}s" if isinstance(value, int) else value
            case "http_service":
                value = _service(_known(value, KEYS[key]))
            case "services":
                value = [_service(_known(s, KEYS[key])) for s in value]
            case "checks":
                value = {name: _check(c) for name, c in sorted(value.items())}
            case "vm" | "restart" | "mounts":
                value = [_known(v, KEYS[key]) for v in value]
            case _:
                pass
        made[key] = value
    return made


def _known(section: Any, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in section.items() if k in keys} if isinstance(section, dict) else {}


def unknown_keys(raw: Any, keys: Any = KEYS, path: str = "") -> list[str]:
    """Dotted names of keys that flyctl does not know, in the order of the file."""
    found: list[str] = []
    if isinstance(raw, list):
        for index, part in enumerate(raw):
            found += unknown_keys(part, keys, f"{path}[{index}]")
        return found
    if not isinstance(raw, dict) or keys is None or keys is ANY:
        return found
    for key, value in raw.items():
        name = f"{path}.{key}" if path else key
        if key in keys:
            found += unknown_keys(value, keys[key], name)
        elif "*" in keys:
            found += unknown_keys(value, keys["*"], name)
        else:
            found.append(name)
    return found


def problems(config: AppConfig) -> list[str]:
    """Why the configuration is not valid, in flyctl's words; empty when it is."""
    d = config.definition
    found: list[str] = []
    groups = config.groups()
    services = [s for s in (d.get("http_service"), *(d.get("services") or [])) if s]
    if d.get("processes"):
        for service in services:
            if not service.get("processes"):
                found.append(
                    f"Service has no processes set but app has {len(groups)} processes defined; update fly.toml"  # noqa: S608
                    " to set processes for each service"
                )
    for service in services:
        if not service.get("internal_port"):
            found.append("Service has no internal port set but app has services defined")
        for name in service.get("processes") or []:
            if name not in groups:
                found.append(
                    f"Service specifies '{name}' as one of its processes, but no processes are defined with that name; update fly.toml to add a '{name}' process or remove it from service's processes list"
                )
    for name, check in (d.get("checks") or {}).items():
        if not check.get("type"):
            found.append(f"Check '{name}' is missing a type; set it to 'tcp' or 'http'")
    for name in d.get("env") or {}:
        if name.startswith("FLY_"):
            found.append(f"Environment variable {name} is invalid: names starting with FLY_ are reserved")
    strategy = (d.get("deploy") or {}).get("strategy", "")
    if strategy not in STRATEGIES:
        found.append(
            f"unsupported deployment strategy '{strategy}'; Apps v2 supports the following strategies: canary, rolling, immediate, and bluegreen"
        )
    if strategy == "canary" and d.get("mounts"):
        found.append("error canary deployment strategy is not supported when using mounted volumes")
    return found
