"""What a value, an attribute name and an entity's key may be. Pure rules, no I/O.

A value is a JSON string, number or boolean; its type belongs to the row. `sql/0001_data_plane.sql` has the same rule of
what is a timestamp as `text_instant`; tests hold both together.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import orjson

from atlasco.lib.errors import FieldError

Value: TypeAlias = str | int | float | bool
ValueType: TypeAlias = Literal["string", "number", "boolean", "timestamp"]

VALUE_TYPES: Final[tuple[ValueType, ...]] = ("string", "number", "boolean", "timestamp")
NAME_MAX_CHARS: Final = 255
VALUE_MAX_BYTES: Final = 1 << 20
ENTITY_TYPE_MAX_CHARS: Final = 100
EXTERNAL_ID_MAX_CHARS: Final = 512
# A document of more names is a data set in the wrong place; it would also make every update of the entity slow.
ATTRIBUTES_MAX: Final = 10_000

_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d([.,]\d{1,100})?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)", re.ASCII
)


def text_is_timestamp(text: str) -> bool:
    """True for a full ISO 8601 date-time with zone that names a real instant; any other text is a string.

    Of a second, at most 100 decimals: PostgreSQL reads no more than about 120.
    """
    if not _TIMESTAMP.fullmatch(text):
        return False
    try:
        # The pattern has judged the time and the zone; what is left is whether the day exists.
        datetime.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def value_type(value: Value) -> ValueType:
    """The type of a value that `value_error` found nothing wrong with."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "timestamp" if text_is_timestamp(value) else "string"
    return "number"


def name_error(name: object, path: str) -> FieldError | None:
    """What is wrong with an attribute name; None where nothing is."""
    if not isinstance(name, str):
        return FieldError(path, "invalid_name", "An attribute name is a string.")
    if not 1 <= len(name) <= NAME_MAX_CHARS:
        return FieldError(
            path, "invalid_name", f"An attribute name has 1 to {NAME_MAX_CHARS} characters; this one has {len(name)}."
        )
    if "\x00" in name:
        return FieldError(path, "nul_character", "An attribute name can't hold the NUL character.")
    return None


def value_error(value: object, path: str) -> FieldError | None:
    """What is wrong with a value; None where nothing is. null is the caller's to allow."""
    if isinstance(value, str):
        if "\x00" in value:
            return FieldError(path, "nul_character", "A value can't hold the NUL character.")
        # A character has at most four bytes: only long texts need counting.
        if len(value) > VALUE_MAX_BYTES // 4 and len(value.encode()) > VALUE_MAX_BYTES:
            return FieldError(path, "value_too_long", f"A value has at most {VALUE_MAX_BYTES} bytes.")
        return None
    if isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        if math.isfinite(value):
            return None
        return FieldError(path, "number_out_of_range", "The number is larger than a double can hold.")
    kind = {"dict": "an object", "list": "a list", "NoneType": "null"}.get(type(value).__name__, "something else")
    return FieldError(path, "invalid_value", f"A value is a string, a number or a boolean; this is {kind}.")


def attributes_errors(attributes: object, path: str, *, null_allowed: bool) -> list[FieldError]:
    """What is wrong with an `attributes` member; empty where nothing is.

    null_allowed: null removes an attribute, so it makes sense only where there may be one.
    """
    if not isinstance(attributes, dict):
        return [FieldError(path, "invalid_type", "`attributes` is an object of names and values.")]
    if len(attributes) > ATTRIBUTES_MAX:
        return [FieldError(path, "too_many_attributes", f"An entity has at most {ATTRIBUTES_MAX} attributes.")]
    errors = []
    for name, value in attributes.items():
        # The first test settles nearly every attribute of an import; it is the hot loop of the whole product.
        if 0 < len(name) <= NAME_MAX_CHARS and "\x00" not in name:
            if type(value) in (int, bool) or (value is None and null_allowed):
                continue
            error = value_error(value, f"{path}.{name}")
        else:
            error = name_error(name, f"{path}.{name[:40]}")
        if error is not None:
            errors.append(error)
    return errors


def key_error(text: object, path: str, max_chars: int) -> FieldError | None:
    """What is wrong with an entity_type or external_id; None where nothing is."""
    if not isinstance(text, str):
        return FieldError(path, "required" if text is None else "invalid_type", f"`{path}` is a string.")
    if not 1 <= len(text) <= max_chars:
        return FieldError(
            path, "invalid_length", f"`{path}` has 1 to {max_chars} characters; this one has {len(text)}."
        )
    if "\x00" in text:
        return FieldError(path, "nul_character", f"`{path}` can't hold the NUL character.")
    return None


def value_as_text(value: Value) -> str:
    """A value as a field or a cell shows it: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def instant_text(text: str) -> str:
    """A timestamp as PostgreSQL reads it: ISO 8601 also allows a decimal comma, PostgreSQL only a point."""
    return text.replace(",", ".")


def instant_error(text: object, path: str) -> FieldError | None:
    """What is wrong with a date-time of our own fields; None where nothing is.

    They are read back into Python, so in UTC they lie in the years 1 to 9999.
    """
    if isinstance(text, str) and text_is_timestamp(text):
        try:
            # PostgreSQL may round up by a microsecond.
            datetime.fromisoformat(text).astimezone(UTC) + timedelta(microseconds=1)
        except OverflowError:
            return FieldError(path, "timestamp_out_of_range", f"`{path}` lies outside of the years 1 to 9999 in UTC.")
        return None
    return FieldError(
        path, "invalid_timestamp", f"`{path}` is a full ISO 8601 date-time with zone, such as 2026-01-31T12:00:00Z."
    )
