"""Owns how secret values are written for ``fly secrets import``, so that each arrives as it is.

flyctl's reader knows no escapes, cuts at ``#``, and drops in silence all that follows a line of 64 KiB or an
unclosed triple quote. So a form is chosen per value, and the whole text is read back by a port of that reader
before it is sent. What no line can carry goes alone over stdin, or is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE_LIMIT = 65_500
"""flyctl's scanner stops at 65,536 bytes; a margin for quotes."""
_STDIN_LIMIT = 65_536
_GO_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's ``strings.TrimSpace`` trims: fewer characters than ``str.strip``."""
_QUOTES = '"""'


class CrashError(ValueError):
    """The real reader would crash on this text."""


class BadLineError(ValueError):
    """The real reader would refuse a line; the message does not repeat it."""


@dataclass(frozen=True, slots=True)
class SecretWrites:
    """How a set of values is sent."""

    import_text: bytes
    """For the stdin of ``secrets import``; empty: don't call it."""
    imported: tuple[str, ...]
    """Names that ``import_text`` carries."""
    singles: tuple[tuple[str, bytes], ...]
    """(name, stdin) for one ``secrets set NAME=-`` each."""
    refused: tuple[tuple[str, str], ...]
    """(name, reason): can't be sent without changing the value."""

    def __repr__(self) -> str:
        return (
            f"SecretWrites(imported={self.imported!r}, singles={tuple(n for n, _ in self.singles)!r}, "
            f"refused={self.refused!r})"
        )


def plan_secret_writes(values: Mapping[str, str]) -> SecretWrites:
    """Choose a form for each value, and prove the import text by reading it back.

    Raises:
        ValueError: the text would not be read back as the same values; a fault of this file.
    """
    lines: dict[str, str] = {}
    singles: list[tuple[str, bytes]] = []
    refused: list[tuple[str, str]] = []
    for name, value in values.items():
        if reason := unsendable(name, value):
            refused.append((name, reason))
        elif (line := import_line(name, value)) is not None:
            lines[name] = line
        elif reason := not_by_stdin(value):
            refused.append((name, reason))
        else:
            singles.append((name, value.encode()))
    text = "".join(f"{line}\n" for line in lines.values()).encode()
    if parse_import(text) != {name: values[name] for name in lines}:
        raise ValueError("the import text does not read back as the values it was made of")
    return SecretWrites(text, tuple(lines), tuple(singles), tuple(refused))


def unsendable(name: str, value: str) -> str:
    """Return why a value can't be an environment variable on any way, or an empty text."""
    if not _NAME.fullmatch(name):
        return "the name may only have letters, digits and `_`, and not begin with a digit"
    if "\0" in value:
        return "the value has a NUL character, which an environment variable can't hold"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "the value is not valid Unicode"
    return ""


def not_by_stdin(value: str) -> str:
    """Return why ``secrets set NAME=-`` would change a value, or an empty text."""
    if len(value.encode()) > _STDIN_LIMIT:
        return "the value is longer than 64 KiB in a form that flyctl can't read"
    if value != value.strip(_GO_SPACE):
        return "flyctl would trim the white space around this value; save it without, or encode it as base64"
    if not value:
        return "the value is empty"
    return ""


def import_line(name: str, value: str) -> str | None:
    """Return the line (or lines) for one value without the last newline, or None when none carries it."""
    if "\r\n" in value or any(len(part.encode()) + len(name) > _LINE_LIMIT for part in value.split("\n")):
        return None
    first, *others = value.split("\n")
    before, mark, _ = first.partition("#")
    odd = bool(mark) and before.count('"') % 2 == 1
    if others:
        closes_early = any(part.endswith(_QUOTES) for part in (first, *others)[1:-1])
        # the first line is tested for a closed triple quote as a whole, so a value `"""` + newline is safe only
        # when the line it makes is not itself closed
        opened = f"{_QUOTES}{first}"
        closed = len(opened) >= 6 and opened.endswith(_QUOTES)
        return None if odd or closes_early or closed else f"{name}={_QUOTES}{value}{_QUOTES}"
    # an odd number of quotes before the # would become even with three more: single quotes add none
    return f"{name}='{value}'" if odd else f"{name}={_QUOTES}{value}{_QUOTES}"


def parse_import(text: bytes) -> dict[str, str]:
    """Read import lines as flyctl 0.4.87 does, losses included.

    Raises:
        CrashError: flyctl would crash.
        BadLineError: flyctl would refuse the text and send nothing.
    """
    found: dict[str, str] = {}
    open_name: str | None = None
    open_value: list[str] = []
    for raw in _lines(text):
        line = raw.decode("utf-8", "surrogateescape")
        if open_name is not None:
            if line.endswith(_QUOTES):
                found[open_name] = "\n".join([*open_value, line[: -len(_QUOTES)]])
                open_name, open_value = None, []
            else:
                open_value.append(line)
            continue
        if line.startswith("#") or not line.strip(_GO_SPACE):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise BadLineError("a line is not NAME=VALUE")
        name, value = name.strip(_GO_SPACE), value.lstrip(" ")
        before, mark, _ = value.partition("#")
        if mark and before.count('"') % 2 == 0:
            value = before.rstrip(" ")
        if value.startswith(_QUOTES):
            if value.endswith(_QUOTES) and len(value) >= 2 * len(_QUOTES):
                found[name] = value[3:-3]
            else:
                open_name, open_value = name, [value[3:]]
            continue
        for quote in ('"', "'"):
            if value.startswith(quote) and value.endswith(quote):
                if len(value) < 2:
                    raise CrashError("a value of one quotation mark crashes flyctl")
                value = value[1:-1]
                break
        found[name] = value
    return found


def _lines(text: bytes) -> list[bytes]:
    """Split like Go's scanner: a carriage return before a newline is dropped, a line of 64 KiB ends it all."""
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    kept = []
    for line in lines:
        if len(line) >= _STDIN_LIMIT:
            break
        kept.append(line.removesuffix(b"\r"))
    return kept
