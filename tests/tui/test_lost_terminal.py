"""Tests of writing to a terminal that is gone: nothing waits for room that nobody makes."""

from __future__ import annotations

import threading
from typing import Any, cast

from textual.driver import Driver
from textual.drivers._writer_thread import WriterThread

from flywizard.tui.app import FlywizardApp
from flywizard.tui.workarounds import Forgiving, forgiving
from tests.support.fake_wizard import FakeWizard


class Gone:
    """A terminal's file after the terminal was closed."""

    tried = 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_the_writer_outlives_its_terminal() -> None:
    file = Gone()
    writer = WriterThread(cast("Any", Forgiving(cast("Any", file))))
    writer.start()

    def write() -> None:
        for _ in range(200):
            writer.write("x")
        writer.stop()

    asking = threading.Thread(target=write, daemon=True)
    asking.start()
    asking.join(30)
    assert not asking.is_alive()
    assert file.tried == 200


def test_the_driver_of_the_app_writes_so() -> None:
    class Plain(Driver):
        def __init__(self) -> None:
            self._file = Gone()

        def start_application_mode(self) -> None:
            self.seen = self._file

        def write(self, data: str) -> None: ...

        def disable_input(self) -> None: ...

        def stop_application_mode(self) -> None: ...

    driver = cast("Any", forgiving(cast("Any", Plain)))()
    driver.start_application_mode()
    assert isinstance(driver.seen, Forgiving)
    assert FlywizardApp(FakeWizard()).driver_class.__name__ == "Steady"
