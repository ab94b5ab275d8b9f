"""Tests of the report of `inspect` in words."""

from __future__ import annotations

from pathlib import Path

from flywizard.project.detect import inspect
from flywizard.project.report import report_lines

EXAMPLE = Path(__file__).parents[2] / "examples" / "helpdesk"


def _compose(folder: Path) -> None:
    (folder / "docker-compose.yml").write_text(
        "services:\n  api:\n    image: ghcr.io/example/api\n  cache:\n    image: redis:7\n"
    )


def test_the_example_is_not_stopped_by_a_choice_that_nobody_made() -> None:
    lines = report_lines("helpdesk", inspect(EXAMPLE))
    assert not [line for line in lines if line.lstrip().startswith("✗")]
    conditional = [line for line in lines if " C-41 " in line]
    assert conditional
    assert conditional[0].startswith("  ! C-41 with database.kind=unmanaged: ")


def test_what_is_not_deployed_is_told_with_its_place(tmp_path: Path) -> None:
    _compose(tmp_path)
    lines = report_lines("shop", inspect(tmp_path))
    assert lines[0].startswith("shop: ")
    assert [line for line in lines if line.startswith("  = docker-compose.yml:5: Redis (`cache`)")]
