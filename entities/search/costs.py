"""What reading costs: milliseconds on the reference machine, of which only the ratios matter.

Fitted by `manage.py bench search`, which prints how well they fit.
"""

from __future__ import annotations

from math import exp
from typing import Final

from entities.search.query import OrderField

# What each statement costs whatever it reads.
PLAN_MS: Final = 2.0
# An entity tested: in the order of an index, and in no order, which is less where no others' lie between.
WALK_MS_PER_ROW: Final[dict[OrderField, float]] = {
    "updated_at": 0.0007, "entity_id": 0.0007, "created_at": 0.001, "external_id": 0.0025,
}  # fmt: skip
SCAN_MS_PER_ROW: Final = 0.0006
SCAN_ALONE_MS_PER_ROW: Final = 0.00035
# A posting read; an id read from a value index alone, and what it costs to look whether another read has it, too.
GIN_MS_PER_POSTING: Final = 0.00007
# And a page of the postings of a tenant, which has one for each of its entities, in the same index.
TENANT_MS_PER_PAGE: Final = 0.02
POSTINGS_PER_PAGE: Final = 3_300
VALUE_MS_PER_ID: Final = 0.00015
INTERSECT_MS_PER_ID: Final = 0.0001
# A value found by its name: its row lies on a page that hardly holds another one.
NAMED_MS_PER_VALUE: Final = 0.0016
# A document fetched and tested, and a page of documents that no one has looked at for long.
FETCH_MS_PER_ROW: Final = 0.0007
FETCH_MS_PER_PAGE: Final = 0.002
ROWS_PER_PAGE: Final = 19
# A page of the key's index, which says where the documents of ids lie.
KEY_MS_PER_PAGE: Final = 0.004
KEYS_PER_PAGE: Final = 210


def fetch_ms(rows: float, size: int) -> float:
    """What it costs to fetch so many of a tenant's documents, wherever they lie: many share a page."""
    return FETCH_MS_PER_ROW * rows + FETCH_MS_PER_PAGE * _pages(rows, size / ROWS_PER_PAGE)


def look_up_ms(postings: float, rows: float, size: int, *, is_alone: bool) -> float:
    """What it costs to find and to fetch so many documents by what they contain."""
    tenant = 0.0 if is_alone else TENANT_MS_PER_PAGE * _pages(rows, size / POSTINGS_PER_PAGE)
    return GIN_MS_PER_POSTING * postings + tenant + fetch_ms(rows, size)


def by_id_ms(ids: float, size: int) -> float:
    """The same by their ids: each has to be found first."""
    return KEY_MS_PER_PAGE * _pages(ids, size / KEYS_PER_PAGE) + fetch_ms(ids, size)


def _pages(rows: float, pages: float) -> float:
    """On how many of the pages so many rows lie."""
    return pages * (1 - exp(-rows / pages))
