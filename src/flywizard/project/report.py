"""Owns the report of `inspect` in words: what a repository holds, one fact a line. Pure."""

from __future__ import annotations

from flywizard.project.model import Findings


def report_lines(name: str, findings: Findings) -> list[str]:
    """Return the lines about a repository of that name.

    What stands in the way only under some answer is told with that answer, and never as a stop.
    """
    lines: list[str] = []
    lines.append(f"{name}: {findings.kind}")
    for service in findings.services:
        place = f"{service.evidence[0].file}:{service.evidence[0].line}" if service.evidence else ""
        lines.append(
            f"  {service.name:<10} {service.role:<7} {service.command or service.framework or '?'}  ({place})"
        )
    base, broker = findings.database, findings.broker
    if base.needed:
        names = ", ".join(e.name for e in base.extensions) or "no extension"
        lines.append(f"  database   {base.driver or '?'}, {names}, schema by {base.schema.method or '?'}")
    if broker.needed:
        able = {True: "can sign in", False: "can't sign in", None: "may or may not sign in"}[
            broker.sasl_capable
        ]
        lines.append(f"  broker     {broker.client or '?'}, {able}")
    for env in findings.env:
        words = [
            w
            for w, on in (("required", env.required), ("secret", env.secret), ("build time", env.build_time))
            if on
        ]
        place = f"{env.evidence[0].file}:{env.evidence[0].line}" if env.evidence else ""
        lines.append(f"  {env.name:<26} {', '.join(words) or 'optional':<22} {place}")
    for problem in findings.problems:
        mark = "=" if problem.handled else "✗" if problem.blocking and not problem.when else "!"
        only = f"with {problem.when}: " if problem.when else ""
        place = f"{problem.file}:{problem.line}: " if problem.file and problem.line else ""
        lines.append(f"  {mark} {problem.id} {only}{place}{problem.message}")
        lines.append(f"      hint: {problem.remedy}")
    for note in findings.notes:
        lines.append(f"  = {note.file}:{note.line}: {note.what}")
    for question in findings.questions:
        lines.append(f"  ? {question.id}: {question.text} ({' · '.join(question.choices)})")
    return lines
