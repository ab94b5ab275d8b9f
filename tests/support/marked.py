"""Owns secrets that can be recognised in every spelling, and the search for them. Shares nothing with redaction.py."""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

TYPED = ("JWT_SECRET", "ADMIN_PASSWORD", "TWILIO_AUTH_TOKEN")
IN_FILE = (
    "STRIPE_SECRET_KEY",
    "SMTP_PASSWORD",
    "SESSION_SECRET",
    "SLACK_BOT_TOKEN",
    "SIGNING_PRIVATE_KEY",
    "GITHUB_TOKEN",
)
BY_FLAG = ("SENDGRID_API_KEY", "ENCRYPTION_KEY", "S3_SECRET_ACCESS_KEY")
BY_PATH = ("SENTRY_AUTH_TOKEN", "WEBHOOK_PASSWORD")
BY_VARIABLE = (
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
    "OPENAI_API_KEY",
    "WEBHOOK_SECRET_KEY",
    "MAP_API_KEY",
    "CDN_API_KEY",
)
ALL = TYPED + IN_FILE + BY_FLAG + BY_PATH + BY_VARIABLE
"""Twenty names."""


WIZARD = b"-m\0flywizard\0"


def marked() -> dict[str, str]:
    """Return name to a random value; some with signs that encodings change, one of several lines."""
    letters = string.ascii_letters + string.digits
    found = {name: "mk" + "".join(secrets.choice(letters) for _ in range(26)) for name in ALL}
    found["STRIPE_SECRET_KEY"] += "+/=&"
    found["SESSION_SECRET"] = found["SESSION_SECRET"][:14] + ' "q" ' + found["SESSION_SECRET"][14:]
    found["ADMIN_PASSWORD"] += "<ä>?#"
    found["S3_SECRET_ACCESS_KEY"] = (
        found["S3_SECRET_ACCESS_KEY"][:12] + "\\n/" + found["S3_SECRET_ACCESS_KEY"][12:]
    )
    found["ENCRYPTION_KEY"] += "$x`y`"
    body = "\n".join("".join(secrets.choice(letters) for _ in range(48)) for _ in range(3))
    found["SIGNING_PRIVATE_KEY"] = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    return found


def spellings(value: str) -> set[bytes]:
    """Return the spellings that are searched for."""
    texts: set[str] = set()
    parts = (
        [value] if "\n" not in value else [line for line in value.split("\n") if not line.startswith("-----")]
    )
    for part in parts:
        texts |= {part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
        for safe in ("", "/", "~()*!'"):
            quoted = urllib.parse.quote(part, safe=safe)
            texts |= {quoted, re.sub("%..", lambda m: m[0].lower(), quoted)}
        texts.add(urllib.parse.quote_plus(part))
        data = part.encode()
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + data).decode()
            inside = whole[(0, 2, 3)[shift] : len(whole) - 4]
            texts |= {inside, inside.replace("+", "-").replace("/", "_")}
    return {text.encode() for text in texts if len(text) >= 12}


def utterances(value: str) -> list[str]:
    """Return how an application may print a value: plain, quoted, and inside something encoded."""
    texts = [
        json.dumps(value),
        urllib.parse.quote(value, safe=""),
        re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote_plus(value)),
    ]
    texts += [f"https://example.com/?key={urllib.parse.quote(value)}&next=1", json.dumps({"key": value})]
    for shift in range(3):
        data = b"u:x"[:shift] + value.encode() + b":rest"[shift:]
        texts += [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]
    texts += value.splitlines()
    return [t for t in texts if not t.startswith("-----")]


def found_in(data: bytes, values: Mapping[str, str]) -> list[str]:
    """Return which values stand in the bytes, and how."""
    out = []
    for name, value in values.items():
        out += [
            f"{name} as {form[:4].decode('utf-8', 'replace')}… ({len(form)} bytes)"
            for form in spellings(value)
            if form in data
        ]
    return out


def search(places: Iterable[Path], values: Mapping[str, str], leave_out: Iterable[Path] = ()) -> list[str]:
    """Return every place below ``places`` that holds a value: file contents and file names."""
    skipped = {p.resolve() for p in leave_out}
    out = []
    for place in places:
        for path in [place, *place.rglob("*")]:
            if path.resolve() in skipped or any(p in skipped for p in path.resolve().parents):
                continue
            out += [f"the name {path.name}: {hit}" for hit in found_in(path.name.encode(), values)]
            if path.is_file() and not path.is_symlink():
                out += [f"{path.relative_to(place)}: {hit}" for hit in found_in(path.read_bytes(), values)]
    return out


class Watch:
    """Looks at the arguments and environments of all processes that have a home in common, save the wizard itself.

    A child between its fork and its exec still shows the wizard's: it counts as the wizard. So the arguments are
    read first: an environment that is read after them is not older than they are.
    """

    def __init__(self, home: Path, values: Mapping[str, str]) -> None:
        self._home, self._values = f"HOME={home}".encode(), dict(values)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.hits: set[str] = set()
        self.seen: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for process in Path("/proc").iterdir():
                if not process.name.isdigit():
                    continue
                try:
                    command = (process / "cmdline").read_bytes()
                    environ = (process / "environ").read_bytes()
                    if self._home not in environ.split(b"\0"):
                        continue
                except OSError:
                    continue
                if WIZARD in command:
                    continue
                name = command.replace(b"\0", b" ").decode("utf-8", "replace")[:120]
                self.seen.add(name)
                self.hits |= {f"argv of {name}: {hit}" for hit in found_in(command, self._values)}
                self.hits |= {f"environment of {name}: {hit}" for hit in found_in(environ, self._values)}
