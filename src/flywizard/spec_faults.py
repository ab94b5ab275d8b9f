"""Owns what can be wrong with a flywizard.toml, without the weight of its models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpecFault:
    """One thing wrong with a flywizard.toml."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class SpecError(ValueError):
    """A flywizard.toml cannot be used; ``faults`` has all reasons."""

    def __init__(self, faults: Iterable[SpecFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(f) for f in self.faults))
