"""Owns the files that the Deploy screen reads and writes for the user: the full log in a pager, saved lines."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path


def readable(path: str) -> Path | None:
    """Return the file behind a shown path (``~`` is the home), or None while there is none."""
    file = Path(path).expanduser()
    return file if file.is_file() else None


def save_text(path: str, text: str) -> None:
    """Write ``text`` where the user asked for it.

    Raises:
        OSError: it cannot be written.
    """
    Path(path).expanduser().write_text(text, encoding="utf-8")


async def page_file(path: Path) -> None:
    """Show a file in $PAGER on the handed-over terminal."""
    pager = shlex.split(os.environ.get("PAGER", "")) or ["less", "-R"]
    try:
        child = await asyncio.create_subprocess_exec(*pager, str(path))
    except FileNotFoundError:
        return
    await child.wait()
