"""The database judges values as Python does: types, instants, ids."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from entities.values import text_is_timestamp, value_type
from tests.entities.effort import examples
from tests.entities.hard_texts import STRINGS, TIMESTAMPS
from tests.entities.model import microseconds_of

INSTANTS_SQL = """
SELECT t, extract(epoch FROM text_instant(t)) * 1000000, value_kind(to_jsonb(t)), value_instant(to_jsonb(t)) IS NOT NULL
FROM unnest(%s::text[]) WITH ORDINALITY u(t, n) ORDER BY n
"""

_ODD = ["", " ", "\n", "T", "t", "Z", "z", "-", ":", ".", ",", "+", "0", "9", "\u0663", "\u2212", "a"]


def near_timestamp(random: Random) -> str:
    """A text that is a timestamp, or is one but for a character or two."""
    year = random.choice([f"{random.randint(0, 10_001):04}", "2024", "1900", "9999", "0001"])
    date = f"{year}-{random.randint(0, 13):02}-{random.randint(0, 32):02}"
    time = f"{random.randint(0, 25):02}:{random.choice(['00', '30', '59', '60'])}:{random.choice(['00', '59', '60'])}"
    digits = "".join(random.choices("0123456789", k=random.randint(0, 9)))
    sign = random.choice("+-")
    zone = random.choice(
        [
            "Z",
            f"{sign}{random.randint(0, 99):02}",
            f"{sign}{random.randint(0, 17):02}:{random.randint(0, 62):02}",
            f"{sign}0530",
        ]
    )
    text = f"{date}T{time}{random.choice(['', f'.{digits}', f',{digits}'])}{zone}"
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        place = random.randint(0, len(text))
        text = text[:place] + random.choice(_ODD) + text[place + random.randint(0, 1) :]
    return text


def judged(texts: list[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(INSTANTS_SQL, [texts])
        return list(cursor.fetchall())


def assert_same_judgement(texts: list[str]) -> None:
    for text, microseconds, kind, has_instant in judged(texts):
        is_timestamp = text_is_timestamp(text)
        assert (kind == "timestamp", has_instant, microseconds is not None) == (is_timestamp,) * 3, text[:200]
        assert kind == value_type(text)
        expected = microseconds_of(text)
        assert (expected is not None) == is_timestamp, text[:200]
        # The server rounds a longer fraction by way of a double, so a half may go either way.
        assert expected is None or abs(expected - int(microseconds)) <= (
            1 if len(text) > len("2026-01-31T12:00:00.123456Z") else 0
        )


def test_the_table_of_hard_texts_is_judged_alike() -> None:
    assert_same_judgement([*TIMESTAMPS, *STRINGS])


@pytest.mark.parametrize("digits", [6, 7, 20, 99, 100, 101, 106, 120, 1000])
@pytest.mark.parametrize("digit", "09")
def test_a_fraction_of_any_length_is_judged_alike(digits: int, digit: str) -> None:
    assert_same_judgement([f"2026-01-31T12:00:00.{digit * digits}Z", f"2026-01-31T12:00:00,{digit * digits}+05:30"])


@given(st.integers(0, 2**32))
@examples(20)
def test_texts_that_look_like_timestamps_are_judged_alike(seed: int) -> None:
    # A plain generator: many texts a round trip, and drawing each by hypothesis would take longer than judging it.
    random = Random(seed)
    assert_same_judgement([near_timestamp(random) for _ in range(500)])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("date_style", ["ISO, MDY", "SQL, DMY", "German"])
def test_the_sessions_own_zone_and_date_style_have_no_say(zone: str, date_style: str) -> None:
    texts = ["2026-02-03T04:05:06Z", "2026-02-03T04:05:06.5-03:30"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('TimeZone', %s, false), set_config('DateStyle', %s, false)", [zone, date_style]
        )
    try:
        assert_same_judgement(texts)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "boolean"), (1, "number"), (1.5, "number"), ("1.5", "string"), ("", "string"), (None, "null")],
)
def test_the_kind_of_a_json_value_is_its_type(value: Any, kind: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT value_kind(%s::jsonb), value_kind(NULL)", [orjson.dumps(value).decode()])
        assert cursor.fetchone() == (kind, None)


def test_ids_are_unique_and_grow_with_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT entity_id_next() FROM generate_series(1, 5000)")
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT entity_id_at(clock_timestamp() + interval '1 second'), entity_id_at('2024-01-01T00:00:00Z')"
        )
        assert cursor.fetchone() == (pytest.approx(max(ids), abs=10_000 << 22), 0)
        milliseconds = {number >> 22 for number in ids}
        cursor.execute("SELECT entity_id_at(%s)", [datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)])
        assert cursor.fetchone() == (1000 << 22,)
    assert len(set(ids)) == 5000
    assert all(0 < number < 2**63 for number in ids) and max(milliseconds) - min(milliseconds) < 60_000
