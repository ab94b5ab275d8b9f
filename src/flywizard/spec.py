"""Owns flywizard.toml: its models, loading with file and line of every error, and saving that keeps what people wrote."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from flywizard.project.toml_lines import Key, lines_of
from flywizard.spec_faults import SpecError, SpecFault

__all__ = [
    "BrokerSpec",
    "DatabaseSpec",
    "SchemaSpec",
    "SecretSpec",
    "ServiceSpec",
    "Spec",
    "SpecError",
    "SpecFault",
    "dump",
    "load",
    "resolve",
]

AppName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")]
ServiceName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
VariableName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Region: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]


def _inside(path: str) -> str:
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or ":" in parts[0]
        or ".." in parts
        or "\\" in path
        or not path.isprintable()
    ):
        raise ValueError("must be a path inside the repository, with `/`")
    return path


RelativePath: TypeAlias = Annotated[str, AfterValidator(_inside)]
REFERENCE = re.compile(r"\{services\.([A-Za-z0-9_-]+)\.(url|host)\}")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class SchemaSpec(_Model):
    """How the tables come to be."""

    method: Literal["sql", "alembic", "prisma", "command", "none"] = "none"
    files: list[RelativePath] = []
    command: str | None = None


class DatabaseSpec(_Model):
    """The table ``[database]``."""

    kind: Literal["managed", "unmanaged", "existing", "none"] = "none"
    name: AppName | None = None
    plan: str = "basic"
    storage_gb: Annotated[int, Field(ge=1, le=1000)] = 10
    version: Annotated[int, Field(ge=12, le=99)] = 17
    user: str | None = None
    database: str | None = None
    vm_size: str | None = None
    image: str | None = None
    url_secret: VariableName | None = None
    extensions: list[str] = []
    schema_: SchemaSpec = Field(default=SchemaSpec(), alias="schema")


class BrokerSpec(_Model):
    """The table ``[broker]``."""

    kind: Literal["sasl", "fly", "plaintext", "none"] = "none"
    provider: Literal["confluent", "redpanda", "aiven", "eventhubs", "upstash", "other"] | None = None
    bootstrap: str | None = None
    protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    ca_file: str | None = None
    app: AppName | None = None
    memory_mb: Annotated[int, Field(ge=256)] | None = None
    storage_gb: Annotated[int, Field(ge=1)] | None = None
    topics: list[str] = []


class ServiceSpec(_Model):
    """One table ``[services.NAME]``."""

    role: Literal["api", "worker", "web", "other"]
    app: AppName
    path: RelativePath | None = None
    dockerfile: RelativePath | None = None
    config: RelativePath | None = None
    command: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    health: Annotated[str, StringConstraints(pattern=r"^/[^\s]*$")] | None = None
    deep_health: Annotated[str, StringConstraints(pattern=r"^/[^\s]*$")] | None = None
    group: ServiceName | None = None
    """Name of the process group; default ``app`` for the API, else the service's name."""
    secrets: list[VariableName] = []
    env: dict[VariableName, str] = {}
    build_args: dict[VariableName, str] = {}
    build_target: str | None = None
    release_command: str | None = None
    memory_mb: Annotated[int, Field(ge=256, le=131072)] = 1024
    machines: Annotated[int, Field(ge=1, le=50)] = 1
    image: str | None = None


class SecretSpec(_Model):
    """One table ``[secrets.NAME]``: where the value comes from, never the value."""

    source: Literal["asked", "env-file", "generated", "derived"] = "asked"


class Spec(_Model):
    """A whole flywizard.toml."""

    version: Literal[1]
    name: AppName
    organization: str
    region: Region
    database: DatabaseSpec = DatabaseSpec()
    broker: BrokerSpec = BrokerSpec()
    services: dict[ServiceName, ServiceSpec] = {}
    secrets: dict[VariableName, SecretSpec] = {}
    environments: dict[ServiceName, dict[str, Any]] = {}

    def apps(self) -> dict[str, dict[str, ServiceSpec]]:
        """Return app → service name → service, in order; the first service of an app builds its image."""
        out: dict[str, dict[str, ServiceSpec]] = {}
        for name, service in self.services.items():
            out.setdefault(service.app, {})[name] = service
        return out

    def group_of(self, name: str) -> str:
        """Return the process group of a service."""
        service = self.services[name]
        return service.group or ("app" if service.role in {"api", "web"} else name)

    def url(self, name: str) -> str:
        """Return the public address of a service, known before anything runs."""
        return f"https://{self.services[name].app}.fly.dev"


def load(text: str, path: str = "flywizard.toml", environment: str | None = None) -> Spec:
    """Read a flywizard.toml, with the overrides of an environment.

    Raises:
        SpecError: with every fault, its file and line.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+), column \d+\)|\(at end of document\)", str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        raise SpecError([SpecFault(path, line, f"not TOML: {str(error).split(' (at ')[0]}")]) from None
    except RecursionError:
        raise SpecError([SpecFault(path, None, "not TOML: nested too deep")]) from None
    lines = lines_of(text)
    version = data.get("version")
    if isinstance(version, int) and version != 1:
        raise SpecError(
            [
                SpecFault(
                    path,
                    lines.get(("version",)),
                    f"version {version} is not known; this flywizard reads version 1",
                )
            ]
        )
    spec = _validated(data, path, lines, ())
    faults = _crossed(spec, path, lines)
    for name, overrides in spec.environments.items():
        try:
            changed = _validated(_merged(data, overrides), path, lines, ("environments", name))
            faults += _crossed(changed, path, lines)
        except SpecError as error:
            faults += error.faults
    if faults:
        raise SpecError(sorted(dict.fromkeys(faults), key=lambda f: f.line or 0))
    if environment is None:
        return spec
    if environment not in spec.environments:
        known = ", ".join(f"`{n}`" for n in spec.environments) or "none"
        raise SpecError([SpecFault(path, None, f"there is no environment `{environment}`; known: {known}")])
    return _suffixed(_validated(_merged(data, spec.environments[environment]), path, lines, ()), environment)


def _validated(data: Mapping[str, Any], path: str, lines: Mapping[Key, int], inside: Key) -> Spec:
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise SpecError(
            _fault(e, path, lines, inside) for e in error.errors(include_url=False, include_input=True)
        ) from None


def _fault(error: Any, path: str, lines: Mapping[Key, int], inside: Key) -> SpecFault:
    location: Key = tuple(part for part in error["loc"] if part != "[key]")
    shown = ".".join(str(part) for part in location)
    line = _line(lines, (*inside, *location)) if inside else None
    line = line or _line(lines, location)
    match error["type"]:
        case "missing":
            message = f"`{shown}` is missing"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), known_keys(location[:-1]), 1, 0.6)
            message = f"`{shown}` is not known" + (f"; did you mean `{near[0]}`?" if near else "")
        case "literal_error":
            message = f"`{shown}` must be {error['ctx']['expected']}"
        case "string_pattern_mismatch":
            message = f"`{shown}` {_pattern_words(error)}"
        case "greater_than_equal" | "less_than_equal":
            bound = error["ctx"].get("ge", error["ctx"].get("le"))
            message = f"`{shown}` must be at {'least' if 'ge' in error['ctx'] else 'most'} {bound}"
        case "value_error":
            message = f"`{shown}` {error['ctx']['error']}"
        case kind:
            wanted = {
                "string_type": "text",
                "int_type": "a whole number",
                "list_type": "a list",
                "dict_type": "a table",
                "model_type": "a table",
                "bool_type": "true or false",
            }.get(kind, "of another type")
            message = f"`{shown}` must be {wanted}"
    return SpecFault(path, line, message)


def _pattern_words(error: Any) -> str:
    pattern = error["ctx"]["pattern"]
    if pattern.startswith("^[a-z0-9][a-z0-9-]"):
        return "may have lower-case letters, digits and dashes only, 2 to 63 of them"
    if pattern == r"^[a-z]{3}$":
        return "must be a region's three letters, such as `ams`"
    if pattern.startswith("^[A-Za-z_]"):
        return "must be a variable's name: letters, digits and `_`"
    if pattern.startswith("^/"):
        return "must begin with `/`"
    return "has characters that a name may not have"


def _line(lines: Mapping[Key, int], location: Key) -> int | None:
    return next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)


def known_keys(location: Key) -> list[str]:
    """Return the keys that are known at a place."""
    models: dict[Key, type[BaseModel]] = {
        (): Spec,
        ("database",): DatabaseSpec,
        ("database", "schema"): SchemaSpec,
        ("broker",): BrokerSpec,
    }
    model = models.get(location)
    if model is None and len(location) == 2:
        model = ServiceSpec if location[0] == "services" else SecretSpec if location[0] == "secrets" else None
    return [f.alias or n for n, f in model.model_fields.items()] if model else []


def _crossed(spec: Spec, path: str, lines: Mapping[Key, int]) -> list[SpecFault]:
    """Return the faults that no single value shows."""
    out: list[SpecFault] = []

    def fault(key: Key, message: str) -> None:
        out.append(SpecFault(path, _line(lines, key), message))

    if spec.database.kind in {"managed", "unmanaged"} and not spec.database.name:
        fault(("database",), "`database.name` is missing")
    if spec.database.kind == "existing" and not spec.database.url_secret:
        fault(("database",), "`database.url_secret` is missing: the secret that holds the URL")
    for name, service in spec.services.items():
        here: Key = ("services", name)
        for table in ("env", "build_args"):
            for key, value in getattr(service, table).items():
                for target, _what in REFERENCE.findall(value):
                    if target not in spec.services:
                        fault(
                            (*here, table, key),
                            f"`services.{name}.{table}.{key}` refers to `services.{target}`, which is not there",
                        )
        for key in service.env:
            if key.startswith("FLY_"):
                fault(
                    (*here, "env", key),
                    f"`services.{name}.env.{key}`: names beginning with `FLY_` belong to the platform",
                )
    for app, members in spec.apps().items():
        groups = [spec.group_of(name) for name in members]
        if len(set(groups)) < len(groups):
            fault(
                ("services", list(members)[-1], "app"),
                f"two services of `{app}` have the same process group `{groups[-1]}`",
            )
    return out


def _merged(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: value for key, value in data.items() if key != "environments"}
    for key, value in overrides.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _suffixed(spec: Spec, environment: str) -> Spec:
    suffix = f"-{environment}"
    services = {n: s.model_copy(update={"app": s.app + suffix}) for n, s in spec.services.items()}
    database = (
        spec.database.model_copy(update={"name": spec.database.name + suffix})
        if spec.database.name
        else spec.database
    )
    broker = (
        spec.broker.model_copy(update={"app": spec.broker.app + suffix}) if spec.broker.app else spec.broker
    )
    return spec.model_copy(
        update={"name": spec.name + suffix, "services": services, "database": database, "broker": broker}
    )


def resolve(spec: Spec) -> Spec:
    """Return the spec with ``{services.NAME.url}`` and ``{services.NAME.host}`` filled in."""

    def fill(value: str) -> str:
        return REFERENCE.sub(
            lambda m: spec.url(m[1]).removeprefix("" if m[2] == "url" else "https://"), value
        )

    services = {
        name: service.model_copy(
            update={
                "env": {k: fill(v) for k, v in service.env.items()},
                "build_args": {k: fill(v) for k, v in service.build_args.items()},
            }
        )
        for name, service in spec.services.items()
    }
    return spec.model_copy(update={"services": services})


def dump(spec: Spec, previous: str | None = None) -> str:
    """Return the text of a flywizard.toml.

    With a previous text only what differs is changed: comments, order and unknown keys stay, and nothing
    changed gives the same text byte for byte.
    """
    from flywizard.spec_text import changed, fresh

    return fresh(spec) if previous is None else changed(spec, previous)
