"""How the columns of a CSV or Parquet file become entities. Pure.

A mapping is JSON, as the job keeps it and the API takes it:

    {"entity_type": "aircraft", "empty": "missing", "decimal": ".",
     "columns": {"Tail": {"use": "external_id"}, "Seats": {"name": "seats", "type": "number"}, "Junk": {"use": "skip"}}}

use: attribute (default), external_id, entity_type, created_at, at, skip. A column that is not mentioned is an attribute
of its own name. type: auto (as each cell looks), string, number, boolean, timestamp.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, cast

import orjson

from atlasco.lib.errors import FieldError, Invalid
from entities.ingest.lines import Rejection
from entities.values import ENTITY_TYPE_MAX_CHARS, key_error, name_error, text_is_timestamp

Use: TypeAlias = Literal["attribute", "external_id", "entity_type", "created_at", "at", "skip"]
Kind: TypeAlias = Literal["auto", "string", "number", "boolean", "timestamp"]
Empty: TypeAlias = Literal["missing", "text", "remove"]
USES: Final[tuple[Use, ...]] = ("attribute", "external_id", "entity_type", "created_at", "at", "skip")
KINDS: Final[tuple[Kind, ...]] = ("auto", "string", "number", "boolean", "timestamp")
EMPTIES: Final[tuple[Empty, ...]] = ("missing", "text", "remove")
COLUMNS_MAX: Final = 5_000
_MEMBERS: Final = frozenset({"entity_type", "empty", "decimal", "columns"})

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# Digits that nobody calculates with: 007, +49 30, 15 digits and more.
_CODE: Final = re.compile(r"[+]|-?0\d|\d{16}", re.ASCII)
_LOCAL_INSTANT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))? ?(Z|[+-]\d\d:?\d\d)?"
)
_YES: Final = frozenset({"true", "yes", "y", "t", "1", "on"})
_NO: Final = frozenset({"false", "no", "n", "f", "0", "off"})
_INT64: Final = 2**63


class InvalidMapping(Invalid):
    """The columns can't be understood like this; `errors` says what is missing."""

    code = "invalid_mapping"


class CellError(ValueError):
    """A cell can't be what its column is."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Column:
    """What one column is. name: of the attribute."""

    use: Use = "attribute"
    name: str = ""
    kind: Kind = "auto"


@dataclass(frozen=True, slots=True)
class Mapping:
    """entity_type: of every row, where no column says it."""

    entity_type: str = ""
    empty: Empty = "missing"
    decimal: str = "."
    columns: Table[str, Column] = field(default_factory=dict)

    def column(self, label: str) -> Column:
        """What the column of this label is."""
        return self.columns.get(label) or Column(name=label)

    def label_finder(self) -> Callable[[str], str]:
        """What finds the column that a fault at a path of a line comes from; empty where it is about the whole line."""
        by_path: dict[str, str] = {}
        for label, column in self.columns.items():
            by_path.setdefault(f"attributes.{column.name}" if column.use == "attribute" else column.use, label)

        def label_of(path: str) -> str:
            use, _, name = path.partition(".")
            return by_path.get(path) or by_path.get(use) or (name if use == "attributes" else "")

        return label_of

    def as_dict(self) -> dict[str, Any]:
        """As `mapping_parse` reads it."""
        columns = {
            label: {"use": column.use, "name": column.name, "type": column.kind}
            if column.use == "attribute"
            else {"use": column.use}
            for label, column in self.columns.items()
        }
        return {"entity_type": self.entity_type, "empty": self.empty, "decimal": self.decimal, "columns": columns}


def mapping_parse(body: object) -> Mapping:
    """Return the mapping that a JSON object asks for. Raises InvalidMapping with every fault found."""
    if not isinstance(body, dict) or not isinstance(body.get("columns", {}), dict):
        raise InvalidMapping("A mapping is a JSON object with an object of `columns`.")
    errors = [
        FieldError(str(name)[:100], "unknown_field", f"A mapping has no {str(name)[:100]!r}.")
        for name in body
        if name not in _MEMBERS
    ]
    entity_type = body.get("entity_type") or ""
    if entity_type and (error := key_error(entity_type, "entity_type", ENTITY_TYPE_MAX_CHARS)) is not None:
        errors.append(error)
    empty, decimal = body.get("empty", "missing"), body.get("decimal", ".")
    if empty not in EMPTIES:
        errors.append(FieldError("empty", "invalid_value", f"`empty` is one of {', '.join(EMPTIES)}."))
    if decimal not in (".", ","):
        errors.append(FieldError("decimal", "invalid_value", "`decimal` is . or ,"))
    columns: dict[str, Column] = {}
    for label, told in body.get("columns", {}).items():
        column = _column_parse(label, told)
        if isinstance(column, FieldError):
            errors.append(column)
        else:
            columns[label] = column
    if errors:
        raise InvalidMapping(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return Mapping(entity_type, cast(Empty, empty), decimal, columns)


def mapping_check(mapping: Mapping, labels: Sequence[str]) -> None:
    """Whether the mapping makes entities of rows with these columns. Raises InvalidMapping with every fault found."""
    errors = [
        FieldError(f"columns.{label[:100]}", "unknown_column", f"The file has no column {label[:100]!r}.")
        for label in mapping.columns
        if label not in labels
    ]
    columns = {label: mapping.column(label) for label in labels}
    for use, words in (("external_id", "the external id"), ("entity_type", "the entity type")):
        holders = [label for label, column in columns.items() if column.use == use]
        if len(holders) > 1:
            errors.append(
                FieldError(use, "repeated", f"Only one column can be {words}; these are: {', '.join(holders)}.")
            )
        if not holders and use == "external_id":
            errors.append(
                FieldError(use, "required", "Say which column holds the external id, by which a row is found again.")
            )
        if not holders and use == "entity_type" and not mapping.entity_type:
            errors.append(
                FieldError(use, "required", "Say what type of entity the rows are, or which column holds it.")
            )
    seen: dict[str, str] = {}
    for label, column in columns.items():
        if column.use != "attribute":
            continue
        if (error := name_error(column.name, f"columns.{label[:100]}")) is not None:
            errors.append(error)
        elif column.name in seen:
            errors.append(
                FieldError(
                    f"columns.{label[:100]}",
                    "repeated",
                    f"The columns {seen[column.name]!r} and {label!r} both become {column.name!r}.",
                )
            )
        seen[column.name] = label
    if errors:
        raise InvalidMapping(errors[0].detail if len(errors) == 1 else "", errors=errors)


# --- A row as a line --------------------------------------------------------------------------------------------------


_REQUIRED: Final = {"external_id": "The external id is missing.", "entity_type": "The entity type is missing."}


class RowReader:
    """Turns rows of one file into lines of an import."""

    def __init__(self, mapping: Mapping, labels: Sequence[str]) -> None:
        self.mapping = mapping
        self._columns = [mapping.column(label) for label in labels]
        self._used = [(at, column) for at, column in enumerate(self._columns) if column.use != "skip"]

    def line(self, number: int, cells: Sequence[Any]) -> bytes | Rejection:
        """The row as an import line, or everything that is wrong with its cells. None and "" are empty cells."""
        if len(cells) != len(self._columns):
            return Rejection(
                number,
                "wrong_column_count",
                f"This row has {len(cells)} cells; the file has {len(self._columns)} columns.",
            )
        line: dict[str, Any] = {"entity_type": self.mapping.entity_type}
        attributes: dict[str, Any] = {}
        errors: list[FieldError] = []
        for at, column in self._used:
            cell = cells[at]
            try:
                if column.use != "attribute":
                    if cell is not None and cell != "":
                        line[column.use] = cell_own(cell, column.use)
                    elif column.use in _REQUIRED:
                        errors.append(FieldError(column.use, "required", _REQUIRED[column.use]))
                elif cell is None or cell == "":
                    self._empty(attributes, column)
                else:
                    value = cell_value(cell, column.kind, self.mapping.decimal)
                    if value is not None:
                        attributes[column.name] = value
            except CellError as error:
                path = f"attributes.{column.name}" if column.use == "attribute" else column.use
                errors.append(FieldError(path, error.code, error.detail))
        if errors:
            return Rejection(number, errors[0].code, " ".join(error.detail for error in errors), tuple(errors))
        line["attributes"] = attributes
        return orjson.dumps(line)

    def _empty(self, attributes: dict[str, Any], column: Column) -> None:
        if self.mapping.empty == "remove":
            attributes[column.name] = None
        elif self.mapping.empty == "text" and column.kind in {"auto", "string"}:
            attributes[column.name] = ""


def cell_own(cell: Any, use: str) -> str:
    """A cell that is one of the entity's own fields, as text. Raises CellError."""
    if use in {"created_at", "at"}:
        return _instant(cell)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(_plain(cell))


def cell_value(cell: Any, kind: Kind, decimal: str = ".") -> str | int | float | bool | None:
    """A cell as the value of an attribute; None where it holds none. Raises CellError."""
    match kind:
        case "string":
            return _text(cell)
        case "number":
            return _number(cell, decimal)
        case "boolean":
            return _boolean(cell)
        case "timestamp":
            return _instant(cell)
    if not isinstance(cell, str):
        return _plain(cell)
    if _NUMBER.fullmatch(cell) and not _CODE.match(cell):
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
        return _instant(cell)
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
        if not _NUMBER.fullmatch(text):
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


def _instant(cell: Any) -> str:
    """A date-time with zone as it is; one without is UTC, a date its first instant."""
    if isinstance(cell, datetime):
        aware = cell if cell.tzinfo is not None else cell.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = cell.isoformat() if isinstance(cell, date) else str(cell).strip()
    if text_is_timestamp(text):
        return text
    if match := _LOCAL_INSTANT.fullmatch(text):
        day, clock, zone = match.groups()
        clock = clock or "00:00"
        whole = f"{day}T{clock if len(clock) > 5 else f'{clock}:00'}{zone or 'Z'}"
        if text_is_timestamp(whole):
            return whole
    raise CellError("not_a_timestamp", f"“{_shown(cell)}” is not a date-time such as 2026-01-31T12:00:00Z.")


def _shown(cell: Any) -> str:
    text = str(cell)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _column_parse(label: str, told: object) -> Column | FieldError:
    path = f"columns.{label[:100]}"
    if told is None:
        return Column("skip")
    if not isinstance(told, dict) or not told.keys() <= {"use", "name", "type"}:
        return FieldError(path, "invalid_type", "A column is an object with `use`, `name` and `type`, or null.")
    use, name, kind = told.get("use", "attribute"), told.get("name", label), told.get("type", "auto")
    if use not in USES:
        return FieldError(path, "invalid_value", f"`use` is one of {', '.join(USES)}.")
    if kind not in KINDS:
        return FieldError(path, "invalid_value", f"`type` is one of {', '.join(KINDS)}.")
    if not isinstance(name, str):
        return FieldError(path, "invalid_value", "`name` is a string.")
    return Column(use, name, kind) if use == "attribute" else Column(use)


# --- Guesses ----------------------------------------------------------------------------------------------------------

_ID_NAMES: Final = (
    "external_id", "externalid", "id", "key", "uuid", "guid", "ident", "tail", "tailnum", "sku", "serial",
    "serial_number",
)  # fmt: skip
_TYPE_NAMES: Final = ("entity_type", "entitytype", "type", "kind")
# `fan_coil` may be a type; “Fixed wing multi engine” describes one.
_TYPE_WORD: Final = re.compile(r"[a-z][a-z0-9_.-]*")
_NEARLY_ALL: Final = 0.9
_AT_NAMES: Final = ("at", "updated_at", "modified_at", "last_modified", "last_updated", "updated")
_CREATED_NAMES: Final = ("created_at", "created", "creation_date", "date_created")


def mapping_guess(labels: Sequence[str], rows: Sequence[Sequence[Any]], *, file_name: str = "") -> Mapping:
    """What the columns probably are, by their names and their first rows. It may lack an external id."""
    cells = {
        label: [row[at] for row in rows if at < len(row) and row[at] not in (None, "")]
        for at, label in enumerate(labels)
    }
    kinds = {label: kind_guess(values) for label, values in cells.items()}
    columns = {label: Column("attribute", label.strip(), kinds[label]) for label in labels}

    def by_name(names: Sequence[str], fits: Any) -> str | None:
        known = {re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_"): label for label in reversed(labels)}
        return next((known[name] for name in names if name in known and fits(known[name])), None)

    def tells_apart(label: str) -> bool:
        values = list(map(str, cells[label]))
        return len(values) == len(rows) > 0 and len(set(values)) == len(values)

    external_id = by_name(_ID_NAMES, tells_apart) or next((label for label in labels if tells_apart(label)), None)
    if external_id is None:
        external_id = by_name(_ID_NAMES, lambda label: True)
    if external_id is not None:
        columns[external_id] = Column("external_id")
    for use, names in (("created_at", _CREATED_NAMES), ("at", _AT_NAMES)):
        label = by_name(names, lambda label: kinds[label] == "timestamp" and label != external_id)
        if label is not None:
            columns[label] = Column(cast(Use, use))
    entity_type = ""
    by_column = by_name(_TYPE_NAMES, lambda label: kinds[label] == "string" and label != external_id)
    if by_column is not None and (by_column.lower().startswith("entity") or _are_types(cells[by_column], len(rows))):
        columns[by_column] = Column("entity_type")
    else:
        stem = re.sub(r"(\.(csv|tsv|txt|parquet|pq|gz))+$", "", file_name.rpartition("/")[2].lower())
        entity_type = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")[:ENTITY_TYPE_MAX_CHARS]
    return Mapping(entity_type, columns=columns)


def _are_types(values: Sequence[Any], rows: int) -> bool:
    """Whether a column called `type` says what each row is, not how it is: a word in every row, and few words."""
    words = set(map(str, values))
    return len(values) == rows and len(words) <= max(1, rows // 2) and all(map(_TYPE_WORD.fullmatch, words))


def kind_guess(values: Sequence[Any]) -> Kind:
    """What all the cells of a column are; "string" where they differ, or are codes; "auto" where Parquet knows.

    "auto", too, where nearly all are numbers: the few that say `n/a` shall not turn the others into text.
    """
    if not values:
        return "auto"
    if not all(isinstance(value, str) for value in values):
        return "auto"
    if all(_NUMBER.fullmatch(value) for value in values):
        return "string" if any(_CODE.match(value) for value in values) else "number"
    numbers = [value for value in values if _NUMBER.fullmatch(value)]
    if len(numbers) >= _NEARLY_ALL * len(values) and not any(map(_CODE.match, numbers)):
        return "auto"
    if all(value.lower() in {"true", "false"} for value in values):
        return "boolean"
    if all(len(value) > 10 and _LOCAL_INSTANT.fullmatch(value) for value in values):
        return "timestamp"
    return "string"
