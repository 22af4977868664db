"""The values of a page of entities, and which columns are worth showing where nobody has chosen any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db import connections

from entities.browser.state import OWN_COLUMNS
from entities.browser.suggestions import PAGES
from entities.search.run import EntityRow

CELL_CHARS: Final = 160
# Documents may be large: so many of the page's first entities stand for all.
_COLUMNS_FROM: Final = 5
_COLUMNS_AUTO: Final = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one cell. kind: a value type, "missing", or "instant" of a field of the entity itself.

    is_right: its column holds numbers only, which are compared from the right.
    """

    kind: str
    text: str = ""
    instant: datetime | None = None
    is_cut: bool = False
    is_right: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    entity: EntityRow
    cells: list[Cell]


def columns_choose(
    *, tenant_id: int, rows: Sequence[EntityRow], tested: Sequence[str], has_type: bool, using: str
) -> tuple[str, ...]:
    """Columns for a page that nobody chose any for: what the conditions test, then what its entities have.

    tested: the names in the conditions; has_type: all rows are of one type, which then needs no column.
    """
    attributes = [name for name in dict.fromkeys(tested) if not name.startswith("@")][:_COLUMNS_AUTO]
    if len(attributes) < _COLUMNS_AUTO and rows:
        with connections[using].cursor() as cursor:
            cursor.execute(
                PAGES["names_common"],
                {
                    "tenant_id": tenant_id,
                    "entity_ids": [row.entity_id for row in rows[:_COLUMNS_FROM]],
                    "limit": 2 * _COLUMNS_AUTO,
                },
            )
            found = [name for (name,) in cursor.fetchall()]
        attributes += [name for name in found if name not in attributes][: _COLUMNS_AUTO - len(attributes)]
    first = () if has_type else ("@entity_type",)
    return (*first, *attributes, "@updated_at")


def table_rows(*, tenant_id: int, rows: Sequence[EntityRow], columns: Sequence[str], using: str) -> list[TableRow]:
    """The rows with a cell for each column."""
    names = [name for name in columns if name not in OWN_COLUMNS]
    values: dict[tuple[int, str], Cell] = {}
    if names and rows:
        with connections[using].cursor() as cursor:
            cursor.execute(
                PAGES["cells"],
                {
                    "tenant_id": tenant_id,
                    "entity_ids": [row.entity_id for row in rows],
                    "names": names,
                    "chars": CELL_CHARS,
                },
            )
            values = {
                (entity_id, name): Cell(kind, text, is_cut=chars > CELL_CHARS)
                for entity_id, name, kind, text, chars in cursor.fetchall()
            }
    kinds: dict[str, set[str]] = {}
    for (_, name), cell in values.items():
        kinds.setdefault(name, set()).add(cell.kind)
    numeric = {name for name, seen in kinds.items() if seen == {"number"}}
    return [
        TableRow(
            row,
            [
                _own_cell(row, name) or replace(values.get((row.entity_id, name), _MISSING), is_right=name in numeric)
                for name in columns
            ],
        )
        for row in rows
    ]


def _own_cell(row: EntityRow, name: str) -> Cell | None:
    match name:
        case "@entity_type":
            return Cell("string", row.entity_type)
        case "@entity_id":
            return Cell("number", str(row.entity_id))
        case "@updated_at":
            return Cell("instant", instant=row.updated_at)
        case "@created_at":
            return Cell("instant", instant=row.created_at)
    return None


_MISSING: Final = Cell("missing")
