"""What the columns of a file probably are, by their names and first rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from entities.imports.cells import CODE, LOCAL_INSTANT, NEARLY_ALL, NUMBER, OTHER_DATE, Dates, Kind
from entities.imports.mapping import Column, Mapping, Use
from entities.values import ENTITY_TYPE_MAX_CHARS

_ID_NAMES: Final = (
    "external_id", "externalid", "id", "key", "uuid", "guid", "ident", "tail", "tailnum", "sku", "serial",
    "serial_number",
)  # fmt: skip
_TYPE_NAMES: Final = ("entity_type", "entitytype", "type", "kind")
# `fan_coil` may be a type; “Fixed wing multi engine” describes one.
_TYPE_WORD: Final = re.compile(r"[a-z][a-z0-9_.-]*")
_MONTHS: Final = 12
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
    return Mapping(entity_type, dates=dates_guess(cells.values()), columns=columns)


def dates_guess(columns: Iterable[Sequence[Any]]) -> Dates:
    """How a file writes its dates, by the columns that hold nothing else; "iso" where that can't be told."""
    for values in columns:
        found = [OTHER_DATE.fullmatch(str(value)) for value in values]
        if not found or not all(found):
            continue
        dates = [match.groups() for match in found if match is not None]
        if any(int(first) > _MONTHS for first, *_ in dates) or any(mark == "." for _, mark, *_ in dates):
            return "dmy"
        if any(int(second) > _MONTHS for _, _, second, *_ in dates):
            return "mdy"
    return "iso"


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
    if all(NUMBER.fullmatch(value) for value in values):
        return "string" if any(CODE.match(value) for value in values) else "number"
    numbers = [value for value in values if NUMBER.fullmatch(value)]
    if len(numbers) >= NEARLY_ALL * len(values) and not any(map(CODE.match, numbers)):
        return "auto"
    if all(value.lower() in {"true", "false"} for value in values):
        return "boolean"
    if all(len(value) > 10 and LOCAL_INSTANT.fullmatch(value) for value in values):
        return "timestamp"
    return "string"
