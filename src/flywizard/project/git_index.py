"""Owns reading which files git tracks, from ``.git/index``; git itself is not run."""

from __future__ import annotations

import struct

MAX_BYTES = 20_000_000


def tracked(data: bytes) -> frozenset[str] | None:
    """Return the tracked paths, or None where the index is of a kind that is not read (version 4, damaged)."""
    if len(data) < 12 or data[:4] != b"DIRC":
        return None
    version, count = struct.unpack(">II", data[4:12])
    if version not in {2, 3}:
        return None
    out: set[str] = set()
    position = 12
    for _ in range(count):
        if position + 62 > len(data):
            return None
        flags = struct.unpack(">H", data[position + 60 : position + 62])[0]
        start = position + (64 if flags & 0x4000 else 62)
        end = data.find(b"\0", start)
        if end < 0:
            return None
        out.add(data[start:end].decode("utf-8", "replace"))
        position += (end - position + 8) // 8 * 8
    return frozenset(out)
