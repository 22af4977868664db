"""What a cell of a CSV or Parquet file is as the value of an attribute. Pure."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import orjson

from entities.values import text_is_timestamp

Kind: TypeAlias = Literal["auto", "string", "number", "boolean", "timestamp"]
Dates: TypeAlias = Literal["iso", "dmy", "mdy"]
KINDS: Final[tuple[Kind, ...]] = ("auto", "string", "number", "boolean", "timestamp")
DATES: Final[tuple[Dates, ...]] = ("iso", "dmy", "mdy")
# A few cells that say `n/a` make no other column of it.
NEARLY_ALL: Final = 0.9
DATE_EXAMPLES: Final[dict[Dates, str]] = {"iso": "2026-01-31", "dmy": "31.01.2026", "mdy": "01/31/2026"}

NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# Digits that nobody calculates with: 007, +49 30, 15 digits and more.
CODE: Final = re.compile(r"[+]|-?0\d|\d{16}", re.ASCII)
LOCAL_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))? ?(Z|[+-]\d\d:?\d\d)?")
# A day and a month, in either order, then what may follow a date.
OTHER_DATE: Final = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(.*)", re.ASCII)
_YES: Final = frozenset({"true", "yes", "y", "t", "1", "on"})
_NO: Final = frozenset({"false", "no", "n", "f", "0", "off"})
_INT64: Final = 2**63
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class CellError(ValueError):
    """A cell can't be what its column is."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(detail)


def cell_own(cell: Any, use: str, dates: Dates = "iso") -> str:
    """A cell that is one of the entity's own fields, as text. Raises CellError."""
    if use in {"created_at", "at"}:
        return _instant(cell, dates)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(_plain(cell))


def cell_value(cell: Any, kind: Kind, decimal: str = ".", dates: Dates = "iso") -> str | int | float | bool | None:
    """A cell as the value of an attribute; None where it holds none. Raises CellError."""
    match kind:
        case "string":
            return _text(cell)
        case "number":
            return _number(cell, decimal)
        case "boolean":
            return _boolean(cell)
        case "timestamp":
            return _instant(cell, dates)
    if not isinstance(cell, str):
        return _plain(cell)
    if NUMBER.fullmatch(cell) and not CODE.match(cell):
        return _number(cell, ".")
    if cell in {"true", "false", "True", "False", "TRUE", "FALSE"}:
        return cell.lower() == "true"
    return cell


def _plain(cell: Any) -> str | int | float | bool | None:
    """A cell of Parquet as it is: numbers and booleans themselves, instants in ISO 8601, what is nested as JSON."""
    if isinstance(cell, bool | str):
        return cell
    if isinstance(cell, int):
        return cell if -_INT64 <= cell < 2 * _INT64 else float(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return None
        return _plain(int(cell)) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, datetime):
        return _instant(cell, "iso")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    try:
        return orjson.dumps(cell, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return str(cell)


def _text(cell: Any) -> str | None:
    # Not by way of a number: 1.10 stays 1.10.
    value = str(cell) if isinstance(cell, Decimal) else _plain(cell)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _number(cell: Any, decimal: str) -> int | float | None:
    if isinstance(cell, str):
        text = cell.strip()
        if decimal == ",":
            text = text.replace(",", ".", 1) if "." not in text else ""
        if not NUMBER.fullmatch(text):
            raise CellError("not_a_number", f"“{_shown(cell)}” is not a number.")
        if text.lstrip("+-").isdigit() and len(text) < 20 and -_INT64 <= int(text) < 2 * _INT64:
            return int(text)
        number = float(text)
        if not math.isfinite(number):
            raise CellError("number_out_of_range", f"“{_shown(cell)}” is larger than a number can be.")
        return number
    value = _plain(cell)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise CellError("not_a_number", f"“{_shown(cell)}” is not a number.")
    return value


def _boolean(cell: Any) -> bool:
    if isinstance(cell, bool):
        return cell
    text = str(cell).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise CellError("not_a_boolean", f"“{_shown(cell)}” is neither true nor false.")


def _instant(cell: Any, dates: Dates) -> str:
    """A date-time with zone as it is; one without is UTC, a date its first instant."""
    if isinstance(cell, datetime):
        aware = cell if cell.tzinfo is not None else cell.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = cell.isoformat() if isinstance(cell, date) else str(cell).strip()
    if text_is_timestamp(text):
        return text
    if match := LOCAL_INSTANT.fullmatch(_iso_date(text, dates)):
        day, clock, zone = match.groups()
        clock = clock or "00:00"
        whole = f"{day}T{clock if len(clock) > 5 else f'{clock}:00'}{zone or 'Z'}"
        if text_is_timestamp(whole):
            return whole
    raise CellError("not_a_timestamp", f"“{_shown(cell)}” is not a date like {DATE_EXAMPLES[dates]}, or with a time.")


def _iso_date(text: str, dates: Dates) -> str:
    """The text with its date at the beginning written as ISO 8601 writes it."""
    match = None if dates == "iso" else OTHER_DATE.fullmatch(text)
    if match is None:
        return text
    day, _, month, year, rest = match.groups()
    if dates == "mdy":
        day, month = month, day
    return f"{year}-{month:0>2}-{day:0>2}{rest}"


def _shown(cell: Any) -> str:
    text = str(cell)
    return text if len(text) <= 60 else f"{text[:60]}…"


def are_dates(values: Sequence[Any], dates: Dates) -> bool:
    """Whether the cells are dates without a time, nearly all: text, unless somebody says that they are instants."""
    iso = [_iso_date(str(value).strip(), dates) for value in values]
    return bool(iso) and sum(_DAY.fullmatch(text) is not None for text in iso) >= NEARLY_ALL * len(iso)
