"""How the columns of a CSV or Parquet file become entities. Pure.

A mapping is JSON, as the job keeps it and the API takes it:

    {"entity_type": "aircraft", "empty": "missing", "decimal": ".", "dates": "iso",
     "columns": {"Tail": {"use": "external_id"}, "Seats": {"name": "seats", "type": "number"}, "Junk": {"use": "skip"}}}

use: attribute (default), external_id, entity_type, created_at, at, skip. A column that is not mentioned is an attribute
of its own name. type: auto (as each cell looks), string, number, boolean, timestamp; a date is then its first instant
in UTC. dates: iso (2026-01-31), dmy (31.01.2026), mdy (01/31/2026).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

import orjson

from atlasco.lib.errors import FieldError, Invalid
from entities.imports.cells import DATES, KINDS, CellError, Dates, Kind, cell_own, cell_value
from entities.ingest.lines import Rejection
from entities.values import ENTITY_TYPE_MAX_CHARS, key_error, name_error

Use: TypeAlias = Literal["attribute", "external_id", "entity_type", "created_at", "at", "skip"]
Empty: TypeAlias = Literal["missing", "text", "remove"]
USES: Final[tuple[Use, ...]] = ("attribute", "external_id", "entity_type", "created_at", "at", "skip")
EMPTIES: Final[tuple[Empty, ...]] = ("missing", "text", "remove")
COLUMNS_MAX: Final = 5_000
_MEMBERS: Final = frozenset({"entity_type", "empty", "decimal", "dates", "columns"})


class InvalidMapping(Invalid):
    """The columns can't be understood like this; `errors` says what is missing."""

    code = "invalid_mapping"


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
    dates: Dates = "iso"
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
        return {
            "entity_type": self.entity_type,
            "empty": self.empty,
            "decimal": self.decimal,
            "dates": self.dates,
            "columns": columns,
        }


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
    empty, decimal, dates = body.get("empty", "missing"), body.get("decimal", "."), body.get("dates", "iso")
    if empty not in EMPTIES:
        errors.append(FieldError("empty", "invalid_value", f"`empty` is one of {', '.join(EMPTIES)}."))
    if decimal not in (".", ","):
        errors.append(FieldError("decimal", "invalid_value", "`decimal` is . or ,"))
    if dates not in DATES:
        errors.append(FieldError("dates", "invalid_value", f"`dates` is one of {', '.join(DATES)}."))
    columns: dict[str, Column] = {}
    for label, told in body.get("columns", {}).items():
        column = _column_parse(label, told)
        if isinstance(column, FieldError):
            errors.append(column)
        else:
            columns[label] = column
    if errors:
        raise InvalidMapping(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return Mapping(entity_type, cast(Empty, empty), decimal, cast(Dates, dates), columns)


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
                        line[column.use] = cell_own(cell, column.use, self.mapping.dates)
                    elif column.use in _REQUIRED:
                        errors.append(FieldError(column.use, "required", _REQUIRED[column.use]))
                elif cell is None or cell == "":
                    self._empty(attributes, column)
                else:
                    value = cell_value(cell, column.kind, self.mapping.decimal, self.mapping.dates)
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
