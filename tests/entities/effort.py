"""How long hypothesis looks. The same examples every time, unless asked for more.

ATLASCO_TEST_EFFORT=20 pytest tests/entities    twenty times as many examples, and new ones every time
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EFFORT = int(os.environ.get("ATLASCO_TEST_EFFORT", "1"))


def examples(number: int) -> settings:
    """Settings of a property that is worth so many examples."""
    return settings(
        max_examples=number * EFFORT,
        derandomize=EFFORT == 1,
        # A real database answers when it answers.
        deadline=None,
        # Fixtures are tenants; each example empties what it fills. Examples are large: one costs round trips.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
        ],
    )
