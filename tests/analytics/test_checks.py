"""What a start says of settings that do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.checks import kafka_is_not_read


@pytest.mark.parametrize(("brokers", "ids"), [([], []), (["broker:9092"], ["analytics.W001"])])
def test_brokers_that_nobody_reads_are_mentioned(settings: Any, brokers: list[str], ids: list[str]) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = brokers
    assert [message.id for message in kafka_is_not_read()] == ids
