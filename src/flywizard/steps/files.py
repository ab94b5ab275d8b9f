"""Owns the steps that write files in the repository, each confirmed as a diff in the Review."""

from __future__ import annotations

from flywizard.plan import FileChange, Probe, Step
from flywizard.ports import Context


def write_file(change: FileChange, *, why: str, needs: tuple[str, ...] = ()) -> Step:
    """Write one file, atomically, only if it is still what the Review showed."""

    async def probe(ctx: Context) -> Probe:
        now = ctx.ports.files.read(change.path)
        if now == change.after:
            return Probe("present", "unchanged")
        return Probe("absent" if now is None else "different", "")

    async def apply(ctx: Context) -> Probe:
        ctx.ports.files.write(change.path, change.after, change.before)
        lines = change.after.count("\n")
        return Probe("present", f"{lines} lines")

    return Step(
        id=f"file.{change.path}",
        title=f"Write {change.path}",
        resource="file",
        name=change.path,
        why=why,
        verb="write",
        probe=probe,
        apply=apply,
        needs=needs,
        expected=(0, 1),
    )
