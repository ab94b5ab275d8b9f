"""Broken repositories: whatever is cut, doubled or swapped, reading ends with findings that make sense."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.project import commands, dockerfile, hints, image_paths, kafkajs, python_source, stacks
from flywizard.project.compose import ComposeFile, ComposeService
from flywizard.project.compose import read as read_compose
from flywizard.project.detect import detect
from flywizard.project.tree import Tree
from tests.fixtures.shapes import SHAPES

TEXTS = sorted({text for shape in SHAPES for text in shape.files.values()})
JUNK = st.sampled_from(
    ["{{ x }}", "\x00", "\u202e", "${A:-${B}}", "&a [*a]", "\\", "'", '"', "[", "(", "%}", "<<EOF", "..", "é"]
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([s for s in SHAPES if s.files]), st.data())
def test_a_damaged_repository_is_still_read(shape: object, data: st.DataObject) -> None:
    files = dict(shape.files)  # type: ignore[attr-defined]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(files)))
        text = files[path]
        at = data.draw(st.integers(0, len(text)))
        files[path] = data.draw(
            st.sampled_from([text[:at], text[at:], text[:at] + data.draw(JUNK) + text[at:], text + text])
        )
    findings = detect(Tree.of(files))
    json.dumps(findings.to_json())
    assert len({s.name for s in findings.services}) == len(findings.services)
    for service in findings.services:
        assert all(e.file in files for e in service.evidence)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=300), st.sampled_from(TEXTS)), st.text(max_size=20))
def test_each_reader_takes_any_text(text: str, more: str) -> None:
    mixed = text + more
    start = commands.parse(mixed)
    assert start.text == mixed
    commands.production(mixed)
    kafkajs.read("a.ts", mixed)
    python_source.read("a.py", mixed)
    image = dockerfile.read("Dockerfile", mixed)
    image_paths.roots(image, ".")
    names = ["Procfile", "render.yaml", "railway.json", "k8s/a.yaml", "Makefile", "README.md", "start.sh"]
    tree = Tree.of(dict.fromkeys(names, mixed))
    for hint in hints.read(tree, names):
        assert 1 <= hint.line <= mixed.count("\n") + 1
    stacks.combinations({"a.sh": mixed}, ["docker-compose.yml"])
    stacks.merged([read_compose("docker-compose.yml", mixed), read_compose("compose.prod.yml", text)])


def test_services_that_extend_each_other_end() -> None:
    one = ComposeService("one", 1, "compose.yml", extends=(None, "two"))
    two = ComposeService("two", 2, "compose.yml", extends=(None, "one"), image="acme/two:1")
    found = {s.name: s.image for s in stacks.merged([ComposeFile("compose.yml", (one, two))])}
    assert found == {"one": "acme/two:1", "two": "acme/two:1"}


def test_scripts_that_start_each_other_end() -> None:
    files = {
        "Dockerfile": "FROM python:3.12\nCOPY . .\nCMD ./a.sh\n",
        "a.sh": "exec ./b.sh\n",
        "b.sh": "exec ./a.sh\n",
        "main.py": "from fastapi import FastAPI\napp = FastAPI()\n",
    }
    (api,) = detect(Tree.of(files)).services
    assert api.entry_file == "main.py"


def test_a_deep_import_chain_and_a_cycle_end() -> None:
    files = {f"m{n}.py": f"import m{(n + 1) % 300}\n" for n in range(300)}
    files["main.py"] = "import m0\nfrom fastapi import FastAPI\napp = FastAPI()\n"
    (api,) = detect(Tree.of(files)).services
    assert api.application == "main:app"
