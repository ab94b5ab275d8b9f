"""Owns reading existing fly.toml files: app, processes, services, with line numbers. Writing is ``generate``'s."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from flywizard.project.toml_lines import Key, lines_of

NAME = re.compile(r"(?:^|/)fly(?:[.-][\w-]+)?\.toml$|(?:^|/)[\w-]+\.fly\.toml$")


@dataclass(frozen=True, slots=True)
class FlyConfig:
    """A fly.toml as read; ``data`` is the plain TOML."""

    path: str
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)
    error: str | None = None
    error_line: int | None = None

    @property
    def folder(self) -> str:
        """Return the folder of the file, ``.`` for the root."""
        return str(PurePosixPath(self.path).parent)

    @property
    def app(self) -> str | None:
        """Return the app's name."""
        value = self.data.get("app")
        return value if isinstance(value, str) else None

    @property
    def processes(self) -> Mapping[str, str]:
        """Return the process commands; group to command, ``""`` the image's CMD."""
        table = self.data.get("processes")
        if not isinstance(table, dict):
            return {}
        return {name: " ".join(v) if isinstance(v, list) else str(v) for name, v in table.items()}

    @property
    def http_service(self) -> Mapping[str, Any]:
        """Return the table ``http_service``, empty where there is none."""
        table = self.data.get("http_service")
        return table if isinstance(table, dict) else {}

    @property
    def service_port(self) -> tuple[int, int] | None:
        """Return (internal_port, line) of the first public service."""
        port = self.http_service.get("internal_port")
        if isinstance(port, int):
            return port, self.line("http_service", "internal_port")
        services = self.data.get("services")
        if isinstance(services, list) and services and isinstance(services[0], dict):
            port = services[0].get("internal_port")
            if isinstance(port, int):
                return port, self.line("services", 0, "internal_port")
        return None

    @property
    def service_groups(self) -> tuple[str, ...]:
        """Return the groups that the public service names."""
        groups = self.http_service.get("processes")
        return tuple(g for g in groups if isinstance(g, str)) if isinstance(groups, list) else ()

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table, empty where there is none or it is something else."""
        value = self.data.get(name)
        return value if isinstance(value, dict) else {}

    def line(self, *key: str | int) -> int:
        """Return the line of a key, or of the nearest table around it."""
        for size in range(len(key), 0, -1):
            if key[:size] in self.lines:
                return self.lines[key[:size]]
        return 1


def read(path: str, text: str) -> FlyConfig:
    """Read a fly.toml; pure, never raises: broken TOML gives ``error``."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"at line (\d+)", str(error))
        return FlyConfig(path, error=str(error), error_line=int(match[1]) if match else None)
    except RecursionError:
        return FlyConfig(path, error="too deep")
    return FlyConfig(path, data, lines_of(text))
