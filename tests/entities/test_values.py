"""What a value, a name and a key may be."""

from __future__ import annotations

from typing import Any

import pytest

from entities.values import (
    ATTRIBUTES_MAX,
    VALUE_MAX_BYTES,
    attributes_errors,
    instant_error,
    key_error,
    name_error,
    text_is_timestamp,
    value_error,
    value_type,
)
from tests.entities.hard_texts import STRINGS, TIMESTAMPS

NEEDS_NO_SERVER = True


@pytest.mark.parametrize("text", TIMESTAMPS)
def test_a_full_date_time_with_zone_is_a_timestamp(text: str) -> None:
    assert text_is_timestamp(text)
    assert value_type(text) == "timestamp"


@pytest.mark.parametrize("text", STRINGS)
def test_every_other_text_is_a_string(text: str) -> None:
    assert not text_is_timestamp(text)
    assert value_type(text) == "string"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "boolean"),
        (False, "boolean"),
        (1, "number"),
        (0.5, "number"),
        ("1", "string"),
        ("true", "string"),
        ("", "string"),
    ],
)
def test_a_type_is_the_values_own(value: Any, kind: str) -> None:
    assert value_type(value) == kind


@pytest.mark.parametrize(
    "name", ["a", "x" * 255, "é" * 255, "\U0001f4a1" * 255, "a b", "a:b/c", "\n", " ", ".", "\x01", "\x7f"]
)
def test_a_name_is_any_text_of_1_to_255_characters(name: str) -> None:
    assert name_error(name, "name") is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "invalid_name"),
        ("x" * 256, "invalid_name"),
        ("a\x00b", "nul_character"),
        (1, "invalid_name"),
        (None, "invalid_name"),
    ],
)
def test_no_other_name_is_taken(name: object, code: str) -> None:
    error = name_error(name, "name")
    assert error is not None and (error.path, error.code) == ("name", code)


@pytest.mark.parametrize(
    "value",
    [
        "", "text", "é\n\t\x01\x7f\ufeff", "x" * VALUE_MAX_BYTES, "é" * (VALUE_MAX_BYTES // 2), True, False,
        0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, -0.0, 1.7976931348623157e308, 5e-324,
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_texts_numbers_and_booleans_are_values(value: object) -> None:
    assert value_error(value, "value") is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\x00b", "nul_character"),
        ("x" * (VALUE_MAX_BYTES + 1), "value_too_long"),
        ("é" * (VALUE_MAX_BYTES // 2 + 1), "value_too_long"),
        ("\U0001f4a1" * (VALUE_MAX_BYTES // 4 + 1), "value_too_long"),
        (float("inf"), "number_out_of_range"),
        (float("nan"), "number_out_of_range"),
        (None, "invalid_value"),
        ({}, "invalid_value"),
        ([], "invalid_value"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_nothing_else_is_a_value(value: object, code: str) -> None:
    error = value_error(value, "value")
    assert error is not None and (error.path, error.code) == ("value", code)


def test_attributes_report_every_fault_with_its_place() -> None:
    attributes = {"fine": 1, "": 1, "gone": None, "list": [1], "nul": "\x00", "n" * 300: True}
    errors = attributes_errors(attributes, "attributes", null_allowed=True)
    assert [(error.path, error.code) for error in errors] == [
        ("attributes.", "invalid_name"),
        ("attributes.list", "invalid_value"),
        ("attributes.nul", "nul_character"),
        (f"attributes.{'n' * 40}", "invalid_name"),
    ]
    with_null = attributes_errors(attributes, "attributes", null_allowed=False)
    assert ("attributes.gone", "invalid_value") in [(error.path, error.code) for error in with_null]


@pytest.mark.parametrize("attributes", [None, [], "a", 1])
def test_attributes_are_an_object(attributes: object) -> None:
    assert [error.code for error in attributes_errors(attributes, "attributes", null_allowed=True)] == ["invalid_type"]


def test_an_entity_has_a_bounded_number_of_attributes() -> None:
    attributes = {f"a{number}": 1 for number in range(ATTRIBUTES_MAX)}
    assert attributes_errors(attributes, "attributes", null_allowed=True) == []
    attributes["one more"] = 1
    codes = [error.code for error in attributes_errors(attributes, "attributes", null_allowed=True)]
    assert codes == ["too_many_attributes"]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "required"),
        (1, "invalid_type"),
        ("", "invalid_length"),
        ("x" * 11, "invalid_length"),
        ("\x00", "nul_character"),
    ],
)
def test_a_key_is_a_text_of_bounded_length(key: object, code: str) -> None:
    assert key_error("x" * 10, "external_id", 10) is None
    error = key_error(key, "external_id", 10)
    assert error is not None and (error.path, error.code) == ("external_id", code)


@pytest.mark.parametrize("instant", [None, 1, "", "2026-01-01", "2026-01-01T00:00:00", "yesterday"])
def test_an_instant_of_our_own_fields_has_a_zone(instant: object) -> None:
    assert instant_error("2026-01-01T00:00:00+02:00", "at") is None
    error = instant_error(instant, "at")
    assert error is not None and (error.path, error.code) == ("at", "invalid_timestamp")


@pytest.mark.parametrize("instant", TIMESTAMPS)
def test_any_timestamp_of_our_years_is_an_instant(instant: str) -> None:
    assert instant_error(instant, "at") is None


@pytest.mark.parametrize(
    "instant", ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"]
)
def test_an_instant_that_python_could_not_read_back_is_refused(instant: str) -> None:
    assert text_is_timestamp(instant)
    error = instant_error(instant, "created_at")
    assert error is not None and (error.path, error.code) == ("created_at", "timestamp_out_of_range")
