"""What is read, as a value: readers of stores beside the databases get one of these, see `freshness.sources`."""

from __future__ import annotations

from dataclasses import dataclass

from entities.aggregates import Aggregate
from entities.search.query import Query


@dataclass(frozen=True, slots=True)
class EntityRead:
    """Operation "entity": one entity by its id. Answer: EntityRow; EntityNotFound where it is known to be gone."""

    tenant_id: int
    entity_id: int


@dataclass(frozen=True, slots=True)
class ValueRead:
    """Operation "value": one attribute of one entity. Answer: ValueRow; EntityNotFound, AttributeNotFound."""

    tenant_id: int
    entity_id: int
    name: str


@dataclass(frozen=True, slots=True)
class SearchRead:
    """Operation "search". Answer: Page, whose cursor holds a position that nothing on the page is newer than."""

    tenant_id: int
    query: Query


@dataclass(frozen=True, slots=True)
class AggregateRead:
    """Operation "aggregate". Answer: a list of Group."""

    tenant_id: int
    aggregate: Aggregate
