"""The stand-in's `fly config`: validate, show, save."""

from __future__ import annotations

import os
from pathlib import Path

from flywizard.rehearsal.fly_config import AppConfig, canonical, find_config, load, problems, unknown_keys
from flywizard.rehearsal.fly_core import Failure, Fly, Json, go_json

CONFIG_OF_RELEASE = (
    "query FlyctlConfigCurrentRelease ($appName: String!) { app(name: $appName) { currentReleaseUnprocessed {"
    " configDefinition } } }"
)


async def release_definition(fly: Fly, app: str) -> Json:
    """The configuration of the app's latest release, or None."""
    data = await fly.gql_named("FlyctlConfigCurrentRelease", CONFIG_OF_RELEASE, {"appName": app})
    return ((data.get("app") or {}).get("currentReleaseUnprocessed") or {}).get("configDefinition")


def announce(fly: Fly, config: AppConfig) -> None:
    """`Validating …` and the verdict, on stdout.

    Raises:
        Failure: the configuration is not valid.
    """
    fly.print(f"Validating {config.path}")
    found = problems(config)
    if not found:
        fly.print("\x1b[32m✓\x1b[0m Configuration is valid")
        return
    for text in found:
        fly.print(text)
    fly.out("\n   \x1b[31m✘\x1b[0minvalid app configuration\n\n")
    raise Failure("App configuration is not valid")


def check_types(fly: Fly, config: AppConfig) -> None:
    """Refuses a file whose values have the wrong types.

    Raises:
        Failure: it has.
    """
    if config.type_error:
        fly.eprint(
            f"\x1b[33mWARN\x1b[0m WARNING the config file at '{config.path}' is not valid: {config.type_error}"
        )
        raise Failure(config.type_error)


async def validate(fly: Fly) -> None:
    """`fly config validate`: `--strict` says that all is well before it fails."""
    directory = Path.cwd()
    shown = find_config(fly.flag("config"), directory)
    if not shown:
        raise Failure(f"App config file '{os.path.join(str(directory), 'fly.toml')}' not found")
    config = load(shown, directory)
    check_types(fly, config)
    announce(fly, config)
    fly.print()
    if fly.on("strict") and (unknown := unknown_keys(config.raw)):
        fly.out("\nStrict validation found unrecognised sections or keys:\n")
        fly.out("".join(f"  - {name}\n" for name in unknown) + "\n\n")
        raise Failure("strict validation failed")


def shown_json(value: Json, indent: str = "") -> str:
    """JSON as `config show` lays it out: an empty line beside every nested value."""
    if isinstance(value, dict) and value:
        parts: list[str] = []
        previous: Json = None
        for index, (key, item) in enumerate(value.items()):
            nested = isinstance(item, (dict, list))
            if index and (nested or isinstance(previous, (dict, list))):
                parts.append("")
            comma = "," if index < len(value) - 1 else ""
            parts.append(f"{indent}  {go_json(key, None)}: {shown_json(item, indent + '  ')}{comma}")
            previous = item
        return "{\n" + "\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        items = [f"{indent}  {shown_json(item, indent + '  ')}" for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return go_json(value, None)


async def show(fly: Fly) -> None:
    """`fly config show`: of the file with `--local` (no request), else of the latest release."""
    if fly.on("local"):
        directory = Path.cwd()
        shown = find_config(fly.flag("config"), directory)
        if not shown:
            raise Failure("no local config file found")
        definition = load(shown, directory).definition
    else:
        if not fly.tokens.present:
            raise Failure("no access token available. Please login with 'flyctl auth login'")
        found = await release_definition(fly, fly.app())
        if not found:
            raise Failure("No config found")
        definition = found
    if fly.on("toml"):
        fly.out(to_toml(definition))
    else:
        fly.print(shown_json(definition))


async def save(fly: Fly) -> None:
    """`fly config save`: writes the latest release's configuration to `fly.toml` here."""
    shown = find_config(fly.flag("config"), Path.cwd()) if fly.flag("config") else "fly.toml"
    app = fly.app()
    if os.path.exists(shown) and not fly.on("yes"):  # noqa: ASYNC240 (a local file, and nothing else runs)
        raise Failure("yes flag must be specified when not running interactively")
    definition = await release_definition(fly, app)
    if not definition:
        machines = await fly.flaps("GET", f"/v1/apps/{app}/machines")
        if not machines:
            raise Failure(
                "could not create a fly.toml from any machines :-(\nNo machines configured for this app"
            )
        definition = {"app": app}
    head = f"# fly.toml app configuration file generated for {app}\n#\n"
    head += "# See https://fly.io/docs/reference/configuration/ for information about how to use this file.\n#\n\n"
    _write(Path(shown), head + to_toml(canonical(definition)))
    fly.print(f"Wrote config file {shown}")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def to_toml(definition: Json) -> str:
    """A configuration as TOML: scalars first, then tables and lists of tables."""
    return "\n".join(_toml_lines(definition, "", "")).lstrip("\n") + "\n"


def _toml_lines(table: Json, path: str, indent: str) -> list[str]:
    lines: list[str] = []
    later: list[tuple[str, Json]] = []
    for key, value in table.items():
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            later.append((key, value))
        else:
            lines.append(f"{indent}{_toml_key(key)} = {_toml_value(value)}")
    for key, value in later:
        name = f"{path}.{_toml_key(key)}" if path else _toml_key(key)
        for part in value if isinstance(value, list) else [value]:
            brackets = ("[[", "]]") if isinstance(value, list) else ("[", "]")
            lines += ["", f"{indent}{brackets[0]}{name}{brackets[1]}"]
            lines += _toml_lines(part, name, indent + "  ")
    return lines


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else go_json(key, None)


def _toml_value(value: Json) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    if isinstance(value, str) and "\n" not in value and "'" not in value:
        return f"'{value}'"
    return go_json(value, None)
