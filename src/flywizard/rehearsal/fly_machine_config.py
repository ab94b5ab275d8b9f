"""From `fly.toml` to a machine's configuration: what flyctl sends when it creates or updates a machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from flywizard.rehearsal.fly_account import sizes
from flywizard.rehearsal.fly_config import AppConfig, autostop
from flywizard.rehearsal.fly_core import VERSION, Json


def memory_mb(value: Any) -> int:
    """Memory (`512mb`, `1gb`, `1024`) in megabytes."""
    if isinstance(value, int):
        return value
    text = str(value).strip().lower().removesuffix("b")
    if text.endswith("g"):
        return int(float(text[:-1]) * 1024)
    return int(text.removesuffix("m"))


def guest(config: AppConfig, group: str, flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The machine size of a group; a `[[vm]]` that names the group wins over one that names none."""
    sections = config.definition.get("vm") or []
    named = [v for v in sections if group in (v.get("processes") or [])]
    general = [v for v in sections if not v.get("processes")]
    section = (named or general or [{}])[0]
    flags = flags or {}
    preset = sizes().get(str(section.get("size") or flags.get("vm-size") or "shared-cpu-1x"), {})
    made: dict[str, Any] = {
        "cpu_kind": preset.get("cpu_kind", "shared"),
        "cpus": preset.get("cpus", 1),
        "memory_mb": preset.get("memory_mb", 256),
    }
    if section.get("cpus"):
        made["cpus"] = section["cpus"]
    if section.get("cpu_kind"):
        made["cpu_kind"] = section["cpu_kind"]
    memory = section.get("memory") or section.get("memory_mb") or flags.get("vm-memory")
    if memory:
        made["memory_mb"] = memory_mb(memory)
    return made


def size_name(shape: Mapping[str, Any]) -> str:
    """`shared-cpu-1x` and the like for a guest."""
    return (
        f"{'shared-cpu' if shape.get('cpu_kind') == 'shared' else shape.get('cpu_kind')}-{shape.get('cpus')}x"
    )


def _machine_check(check: Mapping[str, Any], kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind}
    for key in ("interval", "timeout", "grace_period", "method", "path", "protocol", "tls_skip_verify"):
        if key in check:
            made[key] = check[key]
    if check.get("headers"):
        made["headers"] = [{"name": k, "values": [v]} for k, v in check["headers"].items()]
    return made


def _service(raw: Mapping[str, Any], *, http: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"protocol": raw.get("protocol", "tcp"), "internal_port": raw.get("internal_port")}
    if "auto_stop_machines" in raw:
        made["autostop"] = autostop(raw["auto_stop_machines"])
    if "auto_start_machines" in raw:
        made["autostart"] = raw["auto_start_machines"]
    if "min_machines_running" in raw:
        made["min_machines_running"] = raw["min_machines_running"]
    if http:
        plain: dict[str, Any] = {"port": 80, "handlers": ["http"]}
        if raw.get("force_https"):
            plain["force_https"] = True
        made["ports"] = [plain, {"port": 443, "handlers": ["http", "tls"]}]
        checks = [_machine_check(c, "http") for c in raw.get("checks") or []]
    else:
        made["ports"] = raw.get("ports") or []
        checks = [_machine_check(c, "tcp") for c in raw.get("tcp_checks") or []]
        checks += [_machine_check(c, "http") for c in raw.get("http_checks") or []]
    if checks:
        made["checks"] = checks
    if raw.get("concurrency"):
        made["concurrency"] = raw["concurrency"]
    made["force_instance_key"] = None
    return made


def services_of(config: AppConfig, group: str) -> list[dict[str, Any]]:
    """The services of a group, in the Machines API's form."""
    d = config.definition
    found = []
    if d.get("http_service") and config.applies(d["http_service"], group):
        found.append(_service(d["http_service"], http=True))
    found += [_service(s, http=False) for s in d.get("services") or [] if config.applies(s, group)]
    return found


def mount_of(config: AppConfig, group: str) -> Json:
    """The group's mount section, or None."""
    return next((m for m in config.definition.get("mounts") or [] if config.applies(m, group)), None)


def metadata(group: str, release: Json) -> dict[str, str]:
    """The metadata that flyctl writes into every machine."""
    return {
        "fly_flyctl_version": VERSION,
        "fly_platform_version": "v2",
        "fly_process_group": group,
        "fly_release_id": str(release.get("id")),
        "fly_release_version": str(release.get("version")),
    }


def _stop_config(config: AppConfig) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if config.definition.get("kill_timeout"):
        made["timeout"] = config.definition["kill_timeout"]
    if config.definition.get("kill_signal"):
        made["signal"] = config.definition["kill_signal"]
    return made


def environment(config: AppConfig, group: str, **more: str) -> dict[str, str]:
    """A machine's environment: `[env]`, the group, the primary region, and `more`; sorted."""
    env = dict(config.definition.get("env") or {})
    env["FLY_PROCESS_GROUP"] = group
    if config.definition.get("primary_region"):
        env["PRIMARY_REGION"] = config.definition["primary_region"]
    return dict(sorted({**env, **more}.items()))


def machine_config(
    config: AppConfig,
    group: str,
    image: str,
    release: Json,
    *,
    volume: Json = None,
    standby_for: str = "",
    flags: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The configuration of a machine of a group, in the order in which flyctl sends it."""
    d = config.definition
    command = (d.get("processes") or {}).get(group) or ""
    init: dict[str, Any] = {"cmd": shlex.split(command)} if command else {}
    experimental = d.get("experimental") or {}
    for key in ("cmd", "entrypoint", "exec"):
        if experimental.get(key):
            init[key] = experimental[key]
    env = environment(config, group, **({"FLY_STANDBY_FOR": standby_for} if standby_for else {}))
    made: dict[str, Any] = {
        "env": env,
        "init": init,
        "guest": guest(config, group, flags),
        "metadata": metadata(group, release),
    }
    mount = mount_of(config, group)
    if mount and volume:
        made["mounts"] = [{"path": mount["destination"], "volume": volume["id"], "name": volume["name"]}]
    if services := services_of(config, group):
        made["services"] = services
    checks = {
        name: {k: v for k, v in check.items() if k != "processes"}
        for name, check in (d.get("checks") or {}).items()
        if config.applies(check, group)
    }
    if checks:
        made["checks"] = checks
    made["image"] = image
    if d.get("swap_size_mb"):
        made["init"]["swap_size_mb"] = d["swap_size_mb"]
    for section in d.get("restart") or []:
        if config.applies(section, group):
            made["restart"] = {
                "policy": {"never": "no"}.get(section.get("policy"), section.get("policy")),
                **({"max_retries": section["retries"]} if section.get("retries") else {}),
            }
    if standby_for:
        made["standbys"] = [standby_for]
    if stop := _stop_config(config):
        made["stop_config"] = stop
    return made


def release_command_config(config: AppConfig, image: str, release: Json, like: Json = None) -> dict[str, Any]:
    """The configuration of the machine that runs the release command; its size is that of `like`, a guest."""
    group = "fly_app_release_command"
    deploy = config.definition.get("deploy") or {}
    vm = deploy.get("release_command_vm") or {}
    shape: dict[str, Any] = dict(like or {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512})
    if vm.get("size") in sizes():
        shape = dict(sizes()[vm["size"]])
    if vm.get("memory"):
        shape["memory_mb"] = memory_mb(vm["memory"])
    made: dict[str, Any] = {
        "env": environment(config, group, RELEASE_COMMAND="1"),
        "init": {"cmd": shlex.split(str(deploy.get("release_command")))},
        "guest": shape,
        "metadata": metadata(group, release),
        "image": image,
        "auto_destroy": True,
        "restart": {"policy": "no"},
        "dns": {"skip_registration": True},
    }
    if stop := _stop_config(config):
        made["stop_config"] = stop
    return made
