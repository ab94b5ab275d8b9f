"""Owns the tests against a real Secret Service: gnome-keyring under a D-Bus of its own, unlocked and locked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MISSING = [name for name in ("dbus-run-session", "gnome-keyring-daemon") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.keyring,
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: gnome-keyring, dbus)"
    ),
]

CHILD = """
import asyncio, json, sys
from pathlib import Path
from flywizard.adapters.keyring_store import open_vault
from flywizard.vault import Secret, VaultError, fingerprint

LONG = "tR8#x q/7+Zk=Lm9\\n" * 400

async def main():
    vault = await open_vault("helpdesk", Path(sys.argv[1]), {})
    out = {"place": vault.place, "lasting": vault.lasting}
    if vault.refused is not None:
        out["reason"] = vault.refused.reason
    elif sys.argv[2] == "write":
        vault.set("LONG", Secret(LONG))
        vault.set("EMPTY", Secret(""))
        vault.set("GONE", Secret("x"))
        vault.delete("GONE")
        out["fingerprint"] = fingerprint(vault, "LONG", Secret(LONG))
    else:
        out["long"] = vault.get("LONG") == Secret(LONG)
        out["empty"] = vault.get("EMPTY") == Secret("")
        out["gone"] = vault.get("GONE") is None
        out["names"] = vault.names()
        out["fingerprint"] = fingerprint(vault, "LONG", Secret(LONG))
    print(json.dumps(out))

asyncio.run(main())
"""


BARE_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><keep_umask/><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


def ask(home: Path, what: str, *, password: str | None = "pass", service: bool = True) -> dict[str, Any]:
    """Run the child in a session of its own and return what it found."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_RUNTIME_DIR": str(home / "run"),
    }
    if password is not None:
        start = f"printf %s {password} | gnome-keyring-daemon --unlock --components=secrets >/dev/null;"
    else:
        start = "gnome-keyring-daemon --start --components=secrets >/dev/null;" if service else ""
    shell = f'{start} exec "$0" "$@"'
    bus = ["dbus-run-session"]
    if not service:
        # without service folders the bus can't start an installed keyring by itself
        (home / "bus.conf").write_text(BARE_BUS.format(home=home))
        bus.append(f"--config-file={home / 'bus.conf'}")
    done = subprocess.run(
        [*bus, "--", "sh", "-c", shell, sys.executable, "-c", CHILD, str(home / "state"), what],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_values_outlive_the_session(home: Path) -> None:
    wrote = ask(home, "write")
    assert (wrote["place"], wrote["lasting"]) == ("Secret Service", True)
    read = ask(home, "read")
    assert (read["long"], read["empty"], read["gone"]) == (True, True, True)
    assert read["names"] == ["EMPTY", "LONG"]
    assert read["fingerprint"] == wrote["fingerprint"]
    kept = b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())
    assert b"tR8#x" not in kept


def test_another_password_leaves_it_locked_and_memory_is_offered(home: Path) -> None:
    ask(home, "write")
    locked = ask(home, "read", password="another")
    assert (locked["lasting"], locked["reason"]) == (False, "locked")


def test_a_service_that_was_never_unlocked(home: Path) -> None:
    locked = ask(home, "read", password=None)
    assert (locked["lasting"], locked["reason"]) == (False, "locked")


def test_a_bus_without_a_service(home: Path) -> None:
    absent = ask(home, "read", password=None, service=False)
    assert (absent["lasting"], absent["reason"]) == (False, "absent")
