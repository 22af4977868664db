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
        assert options["connect_timeout"] == 5


def test_the_url_may_ask_for_more_patience() -> None:
    options = options_of("postgresql://atlasco_app@db.example/atlasco?tcp_user_timeout=20000&sslmode=require")
    assert (options["tcp_user_timeout"], options["sslmode"], options["keepalives"]) == (20000, "require", 1)
