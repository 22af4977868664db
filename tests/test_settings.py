"""What the settings make of addresses."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.feed.slots import plain_connect
from analytics.feed.stream import replication_connect
from atlasco import settings
from atlasco.lib.databases import options_beside
from tests.analytics.feeding import replication_dsn_of
from tests.cluster import Cluster


def options_of(url: str) -> dict[str, Any]:
    options = settings._database(url)["OPTIONS"]
    assert isinstance(options, dict)
    return options


def test_a_primary_that_vanishes_is_noticed_within_seconds() -> None:
    for database in settings.DATABASES.values():
        options = database["OPTIONS"]
        assert isinstance(options, dict)
        assert (options["keepalives"], options["tcp_user_timeout"]) == (1, 5000)
        assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] < 15
        assert options["connect_timeout"] == 2


def test_the_url_may_ask_for_more_patience() -> None:
    options = options_of("postgresql://atlasco_app@db.example/atlasco?tcp_user_timeout=20000&sslmode=require")
    assert (options["tcp_user_timeout"], options["sslmode"], options["keepalives"]) == (20000, "require", 1)


def test_connections_beside_djangos_are_as_watchful(stack: Cluster) -> None:
    asked = options_beside("postgresql://feed@db.example/atlasco?tcp_user_timeout=20000")
    assert "tcp_user_timeout" not in asked and asked["keepalives"] == 1
    dsn = replication_dsn_of(stack)
    for connection in (plain_connect(dsn), replication_connect(dsn, application_name="test")):
        with connection:
            told = connection.info.get_parameters()
        assert (told["keepalives_idle"], told["tcp_user_timeout"]) == ("5", "5000")


@pytest.mark.parametrize(
    ("url", "first"),
    [
        ("redis://h:6379", "redis://h:6379/1"),
        ("redis://h:6379/", "redis://h:6379/1"),
        ("redis://h:6379/5", "redis://h:6379/1"),
        ("redis://:p%2Fw@h:6379/5?db=7", "redis://:p%2Fw@h:6379/1"),
        ("rediss://u:p@h?ssl_cert_reqs=required", "rediss://u:p@h/1?ssl_cert_reqs=required"),
        (
            "rediss://h:6379/5?ssl_cert_reqs=none&ssl_ca_certs=%2Fetc%2Fca.pem",
            "rediss://h:6379/1?ssl_cert_reqs=none&ssl_ca_certs=%2Fetc%2Fca.pem",
        ),
    ],
)
def test_broker_and_cache_have_a_database_each_whatever_the_url_names(url: str, first: str) -> None:
    assert settings._redis_database(url, 1) == first
