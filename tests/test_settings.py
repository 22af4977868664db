"""What the settings make of addresses."""

from __future__ import annotations

from typing import Any

import pytest

from atlasco import settings


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
