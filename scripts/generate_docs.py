"""Makes docs/steps.md, docs/problems.md and docs/flags.md from the program itself; --check fails when one is stale."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "examples" / "helpdesk"
HEAD = "<!-- Made by scripts/generate_docs.py; `make docs` makes it anew. -->\n"
ANSWERS: Mapping[str, str] = {
    "signin.organization": "acme",
    "signin.region": "iad",
    "broker.provider": "confluent",
    "broker.bootstrap": "pkc-00000.us-east4.gcp.confluent.cloud:9092",
}
COMMIT = "0000000"
VARIANTS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("A database that exists", "`--database existing`", {"database.kind": "existing"}),
    ("The worker as an app of its own", "`--worker app`", {"worker.placement": "app"}),
    ("No broker", "`--broker none`", {"broker.kind": "none"}),
)


def example_state(answers: Mapping[str, str], root: Path = EXAMPLE):  # type: ignore[no-untyped-def]
    """Return what a session would know of the example with these answers."""
    from flywizard.draft import Answer
    from flywizard.project.detect import detect
    from flywizard.project.tree import scan
    from flywizard.session_state import State

    state = State("helpdesk")
    state.draft.put("flag", {k: Answer(v, "flag") for k, v in answers.items()})
    state.tree = scan(root)
    state.findings = detect(state.tree, {})
    state.refresh()
    return state


def example_plan(answers: Mapping[str, str]):  # type: ignore[no-untyped-def]
    """Return the plan of the example project with these answers: the same on every machine."""
    from flywizard.rehearsal.launch import copy_repository
    from flywizard.resolve import make_spec, resolved
    from flywizard.steps.catalogue import build_plan

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "helpdesk"
        copy_repository(EXAMPLE, root)
        state = example_state(answers, root)
        items = state.items()
        spec = make_spec(state.findings, state.values(), items, None)
        found = resolved(
            spec, state.tree, root, state.findings, items, fixes=(), fresh=frozenset(), commit=COMMIT
        )
        return build_plan(found.target, found.changes, {})


def neutral(text: str) -> str:
    """Return a command without the digests of the moment."""
    text = re.sub(r"src-[0-9a-f]{16}", "src-SOURCEDIGEST", text)
    return re.sub(r"FLYWIZARD_RELEASE=[\w.-]+", "FLYWIZARD_RELEASE=COMMIT.CONFIGDIGEST", text)


def first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def kinds() -> dict[str, str]:
    """Return what each kind of step does, from the function that makes it."""
    from flywizard.steps import apps, checks, database, files, images, releases, secrets

    makers = {
        "file": files.write_file, "app": apps.create_app, "database": database.cluster, "extension": database.extension,
        "schema": database.schema, "secrets": secrets.stage, "build": images.build, "release": releases.release,
        "address": apps.addresses, "check": checks.smoke,
    }  # fmt: skip
    return {kind: first_line(maker) for kind, maker in makers.items()}


def span(expected: tuple[float, float] | None) -> str:
    from flywizard.text import duration

    return "–" if expected is None else f"{duration(expected[0])} to {duration(expected[1])}"


def steps() -> Iterator[str]:
    plan = example_plan(ANSWERS)
    yield "# The steps of a deployment\n"
    yield (
        "A step looks first (its probe), writes its intent into the journal, acts, and writes how it ended. What is there\n"
        "already is taken as it is. Steps whose needs are met run side by side, three at a time; steps of one *turn* run one\n"
        "after the other. These are the steps for the example project, in the order of the Review.\n"
    )
    yield "| step | verb | needs | usual time |\n| --- | --- | --- | --- |"
    for step in plan.steps:
        needs = ", ".join(f"`{n}`" for n in step.needs) or "–"
        yield f"| [`{step.id}`](#{anchor(step.id)}) | {step.verb} | {needs} | {span(step.expected)} |"
    yield ""
    text = kinds()
    for step in plan.steps:
        yield f"## {step.id}\n"
        yield f"{step.title}. {text[step.id.partition('.')[0]]}\n"
        notes = []
        if step.paid:
            notes.append(
                "costs money: never asked for again before a look proved that the first is not there"
            )
        if step.irreversible:
            notes.append("can't be undone")
        if step.exclusive:
            notes.append(f"turn: `{step.exclusive}`")
        if step.reads:
            notes.append("only looks; it does not count as a change")
        if step.skippable:
            notes.append(f"may be skipped: {step.skippable}")
        if step.undo is not None:
            notes.append(
                f"can be taken back: {first_line(step.undo)[:1].lower()}{first_line(step.undo)[1:]}"
                if step.undo.__doc__
                else "can be taken back"
            )
        yield from (f"- {note}" for note in notes)
        if notes:
            yield ""
        if step.commands:
            yield "```sh"
            yield from (neutral(c.shown()) for c in step.commands)
            yield "```\n"
        else:
            yield "Runs no `fly` command.\n"
    yield "## With other answers\n"
    base = {s.id for s in plan.steps}
    for title, flag, extra in VARIANTS:
        other = example_plan({**ANSWERS, **extra})
        ids = {s.id for s in other.steps}
        more = ", ".join(f"`{s.id}`" for s in other.steps if s.id not in base) or "nothing"
        less = ", ".join(f"`{s.id}`" for s in plan.steps if s.id not in ids) or "nothing"
        yield f"- **{title}** ({flag}): more: {more}; not there: {less}"
    yield ""


def anchor(text: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-")


def quoted(text: str) -> str:
    """Return a sentence for Markdown: placeholders and angle brackets stand as they are."""
    return re.sub(r"<([^>]*)>", r"\\<\1\\>", text)


def problems() -> Iterator[str]:
    rules = tomllib.loads((ROOT / "src/flywizard/problems.toml").read_text("utf-8"))["rule"]
    yield "# Problems\n"
    yield (
        f"{len(rules)} rules name failures. They are asked in this order, the first that matches is shown. Words in braces are\n"
        "filled in. What no rule knows is shown as it came, with the exact command: nothing is guessed.\n"
    )
    yield "| id | what |\n| --- | --- |"
    for rule in rules:
        yield f"| [{rule['id']}](#{anchor(rule['id'])}) | {quoted(rule['what']).replace('|', chr(92) + '|')} |"
    yield ""
    for rule in rules:
        yield f"## {rule['id']}\n"
        yield f"**{quoted(rule['what'])}**\n"
        if rule.get("why"):
            yield f"{quoted(rule['why'])}\n"
        for remedy in rule["remedies"]:
            command = f": `{remedy['command']}`" if remedy.get("command") else ""
            yield f"- {quoted(remedy['label'])} (`{remedy['action']}`){command}"
        yield ""
        where = [f"in: {', '.join(rule['stages'])}"] if rule.get("stages") else []
        if not rule.get("match"):
            where.append("named by flywizard itself, not by a message")
        if "exit_code" in rule:
            where.append(f"exit code {rule['exit_code']}")
        if where:
            yield f"{'; '.join(where)[:1].upper()}{'; '.join(where)[1:]}.\n"
        if rule.get("recorded"):
            yield "```text"
            yield rule["recorded"].rstrip()
            yield "```\n"
        if rule.get("docs"):
            yield f"See <{rule['docs']}>.\n"


def cell(text: str) -> str:
    return quoted(text).replace("|", "\\|").replace("\n", " ")


def flags() -> Iterator[str]:
    from flywizard.answers import QUESTIONS
    from flywizard.cli_options import ANSWERING, parser
    from flywizard.cli_words import COMMANDS
    from flywizard.fronts import PAGES, TITLES

    yield "# Flags and variables\n"
    yield "A flag wins over its variable, and both win over `flywizard.toml` and over what was found in the repository.\n"
    yield "## Commands\n"
    for command in ("", *COMMANDS):
        name = f"flywizard {command}".strip()
        yield f"### {name}\n"
        if command == "completion":
            yield f"{COMMANDS[command][:1].upper()}{COMMANDS[command][1:]}: `flywizard completion bash|zsh|fish`.\n"
            continue
        made = parser(command)
        yield f"{made.description}\n"
        yield "| option | meaning |\n| --- | --- |"
        for action in made._actions:
            if action.dest.startswith("answer:"):
                continue
            words = ", ".join(action.option_strings) or str(action.metavar)
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            yield f"| `{cell(words + value)}` | {cell(action.help or '')} |"
        yield ""
        if command in ANSWERING:
            yield "And every answer below.\n"
    state = example_state(ANSWERS)
    names = {q.id: state.vault_name(q.id) for q in QUESTIONS if q.kind == "secret"}
    yield "## Answers\n"
    for page in PAGES:
        mine = [q for q in QUESTIONS if q.page == page]
        if not mine:
            continue
        yield f"### {TITLES[page]}\n"
        yield "| answer | flag | variable | meaning |\n| --- | --- | --- | --- |"
        for question in mine:
            choices = [
                f"`{c.value}`" if not c.disabled else f"`{c.value}` ({c.disabled})" for c in question.choices
            ]
            text = question.help + (f" One of {', '.join(choices)}." if choices else "")
            text += "" if question.required else " May be empty."
            if question.kind == "secret":
                name = names[question.id]
                flag, variable = f"`--secret {name}=…`", f"`FLYWIZARD_SECRET_{name}`"
                text += " Under the name that your code reads; here that of the example."
            else:
                flag, variable = f"`{question.flag} VALUE`", f"`{question.variable}`"
            yield f"| {question.label} | {flag} | {variable} | {cell(text)} |"
        yield ""
    yield "## Values that are secret\n"
    yield (
        "A secret's value is never an argument. `--secret NAME=env:VAR` takes it from a variable, `--secret NAME=file:PATH`\n"
        "from a file; the variable `FLYWIZARD_SECRET_NAME` holds the value of `NAME`.\n"
    )
    yield "## Other variables\n"
    yield "| variable | meaning |\n| --- | --- |"
    for name, text in OTHER:
        yield f"| {name} | {text} |"
    yield ""


OTHER = (
    (
        "`FLYWIZARD_STATE_DIR`",
        "where journals, drafts and logs are kept, instead of the user's state directory",
    ),
    ("`FLYWIZARD_ACCESSIBLE=1`", "lines instead of a screen, with questions"),
    ("`CI`, `TERM=dumb`", "lines instead of a screen, and nothing is asked in `CI`"),
    ("`NO_COLOR`", "no colours on the screen"),
    ("`FLY_API_TOKEN`, `FLY_ACCESS_TOKEN`", "the token, as flyctl knows it"),
    (
        "`FLY_API_BASE_URL`, `FLY_FLAPS_BASE_URL`, `FLY_UIEX_BASE_URL`",
        "another Fly, as flyctl knows them; a rehearsal sets them",
    ),
    ("`FLY_CONFIG_DIR`, `FLYCTL_INSTALL`", "flyctl's own folders"),
    ("`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`", "the way out, for flywizard and for flyctl"),
)
PAGES_MADE = {"steps.md": steps, "problems.md": problems, "flags.md": flags}


def texts() -> dict[str, str]:
    """Return every generated page by its name."""
    return {name: HEAD + "\n" + "\n".join(make()).rstrip() + "\n" for name, make in PAGES_MADE.items()}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    options = parser.parse_args(words)
    stale = 0
    for name, text in texts().items():
        path = DOCS / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"✗ docs/{name} is stale", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
            print(f"wrote docs/{name}")
    if options.check and stale:
        print("hint: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
