"""Owns the fixtures of the data room: certificates and a real broker, made once a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support import real_kafka
from tests.support.certificates import Authority, make_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority with good and bad server certificates."""
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def real_broker(authority: Authority) -> Iterator[real_kafka.RealKafka]:
    """A real Kafka broker, or a skip that says what is missing."""
    if reason := real_kafka.missing():
        pytest.skip(reason)
    with real_kafka.running(authority.folder, authority) as broker:
        yield broker
