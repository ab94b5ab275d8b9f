"""The stand-in's configuration directory (`config.yml`) and its tokens.

The file is the flat YAML that flyctl writes; only the keys flyctl itself writes are understood.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LOGIN_LIFETIME = 30 * 24 * 3600.0
MACAROON = ("fm1r_", "fm1a_", "fm2_")


@dataclass(slots=True)
class Settings:
    """What `config.yml` holds. `minvers` is the last secrets version seen, by app."""

    path: Path
    access_token: str = ""
    last_login: str = ""
    minvers: dict[str, int] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, env: Mapping[str, str]) -> Settings:
        """Reads the file of `FLY_CONFIG_DIR` (default `~/.fly`); an absent file is an empty one."""
        home = env.get("HOME") or env.get("USERPROFILE") or str(Path.home())
        directory = Path(env.get("FLY_CONFIG_DIR") or os.path.join(home, ".fly"))
        made = cls(directory / "config.yml")
        try:
            text = made.path.read_text(encoding="utf-8")
        except OSError:
            return made
        section = ""
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                continue
            value = value.strip().strip("\"'")
            if name[0] in " \t":
                if section == "app_secrets_minvers" and value.isdigit():
                    made.minvers[name.strip().strip("\"'")] = int(value)
                continue
            section = name.strip()
            match section:
                case "access_token":
                    made.access_token = value
                case "last_login":
                    made.last_login = value
                case "app_secrets_minvers":
                    pass
                case _:
                    made.other[section] = value
        return made

    def save(self) -> None:
        """Writes the file, readable by its owner only."""
        lines = ["access_token: " + (self.access_token or '""')]
        if self.minvers:
            lines.append("app_secrets_minvers:")
            lines += [f"    {app}: {version}" for app, version in sorted(self.minvers.items())]
        else:
            lines.append("app_secrets_minvers: {}")
        if self.last_login:
            lines.append(f"last_login: {self.last_login}")
        lines.append("metrics_token: " + (self.other.get("metrics_token") or '""'))
        lines.append("wire_guard_state: {}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(beside, self.path)

    def logged_in(self, now: float) -> bool:
        """Whether the file's token counts: flyctl wants a login within 30 days."""
        if not self.access_token or not self.last_login:
            return False
        from datetime import datetime

        try:
            when = datetime.fromisoformat(self.last_login.replace("Z", "+00:00"))
        except ValueError:
            return False
        return now - when.timestamp() < LOGIN_LIFETIME


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one run, as flyctl sorts them. `present` is false when nobody is logged in."""

    macaroons: tuple[str, ...] = ()
    oauth: tuple[str, ...] = ()
    present: bool = False

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Sorts a token text; macaroons that cannot be decoded are dropped, in silence."""
        text = text.strip()
        for scheme in ("FlyV1 ", "Bearer "):
            if text.startswith(scheme):
                text = text[len(scheme) :]
        parts = [part.strip() for part in text.split(",") if part.strip()]
        macaroons = tuple(p for p in parts if p.startswith(MACAROON) and _decodable(p))
        return cls(macaroons, tuple(p for p in parts if not p.startswith(MACAROON)), bool(parts))

    def joined(self) -> str:
        """All tokens, comma-joined, without a scheme."""
        return ",".join((*self.macaroons, *self.oauth))

    def header(self, base: Literal["api", "flaps", "uiex"]) -> str:
        """The `Authorization` value for a request to one of the APIs."""
        if base == "uiex" or not self.macaroons:
            return f"Bearer {self.joined()}".rstrip() if self.joined() else "Bearer "
        return "FlyV1 " + (self.joined() if base == "api" else ",".join(self.macaroons))


def _decodable(token: str) -> bool:
    """Whether a macaroon is one of the platform's: base64 of an array that names its location."""
    try:
        raw = base64.b64decode(token.partition("_")[2] + "==")
    except (binascii.Error, ValueError):
        return False
    return raw[:1] in (b"\x93", b"\x94") and b"https://api.fly.io/v1" in raw
