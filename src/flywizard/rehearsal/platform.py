"""Owns the rehearsal's process: the World's server with a real Postgres and a stand-in broker beside it.

It outlives the wizard: only so can a killed wizard be resumed, and a second run find nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from flywizard.rehearsal import database
from flywizard.rehearsal.broker import BrokerSettings, StandInBroker
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.postgres_files import Unavailable
from flywizard.rehearsal.server import serve
from flywizard.rehearsal.state import StateFolder

PLATFORM = "platform.json"
"""{"broker_port", "database": reason why there is no Postgres, or "", "existing": URL of a throw-away database}."""
TOPIC_PARTITIONS = 6
BROKER_REFUSES = "broker-refuses"
"""A switch of the broker's own: every sign-in is refused."""


async def run(
    folder: Path, *, speed: float, faults: Sequence[str], reset: bool, topics: Sequence[str]
) -> None:
    """Serve until told to end, or until nobody has asked for half an hour."""
    state = StateFolder(folder)
    refuses = BROKER_REFUSES in faults
    switches = [f for f in faults if f != BROKER_REFUSES]
    Faults(switches)
    place = folder / "postgres"
    if reset:
        await database.remove(place)
    why, postgres, existing = "", None, ""
    try:
        postgres = await database.start(place)
        existing = (await database.existing(postgres)).reveal()
    except Unavailable as error:
        why = str(error)
    settings = BrokerSettings(
        users={"somebody": "else"} if refuses else {"rehearsal-key": "rehearsal-stand-in-secret"},
        topics=dict.fromkeys(topics, TOPIC_PARTITIONS),
        any_credentials=not refuses,
    )
    try:
        async with StandInBroker(settings) as broker:
            state.write(PLATFORM, {"broker_port": broker.port, "database": why, "existing": existing})
            await serve(
                state,
                speed=speed,
                faults=switches,
                reset=reset,
                postgres=place if postgres is not None else None,
            )
    finally:
        if postgres is not None:
            await database.stop(place)


def main() -> int:
    """Run as ``python -m flywizard.rehearsal.platform --state DIR``."""
    parser = argparse.ArgumentParser(prog="flywizard.rehearsal.platform", description=__doc__)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--reset", action="store_true")
    given = parser.parse_args()
    try:
        asyncio.run(
            run(given.state, speed=given.speed, faults=given.fault, reset=given.reset, topics=given.topic)
        )
    except ValueError as error:
        sys.stderr.write(json.dumps({"error": str(error)}) + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
