"""What is read, as a value: readers of stores beside the databases get one of these, see `freshness.sources`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from entities.aggregates import Aggregate
from entities.search.query import Query, names_of


@dataclass(frozen=True, slots=True)
class EntityRead:
    """Operation "entity": one entity by its id. Answer: EntityRow; EntityNotFound where it is known to be gone."""

    tenant_id: int
    entity_id: int

    @property
    def attributes(self) -> Collection[str] | None:
        """Whose values the answer tells or rests on; None for any."""
        return None


@dataclass(frozen=True, slots=True)
class ValueRead:
    """Operation "value": one attribute of one entity. Answer: ValueRow; EntityNotFound, AttributeNotFound."""

    tenant_id: int
    entity_id: int
    name: str

    @property
    def attributes(self) -> Collection[str] | None:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class SearchRead:
    """Operation "search". Answer: Page, whose cursor holds a position that nothing on the page is newer than."""

    tenant_id: int
    query: Query

    @property
    def attributes(self) -> Collection[str] | None:
        fields = self.query.fields
        return None if fields is None else names_of(self.query.where).union(fields)


@dataclass(frozen=True, slots=True)
class AggregateRead:
    """Operation "aggregate". Answer: a list of Group."""

    tenant_id: int
    aggregate: Aggregate

    @property
    def attributes(self) -> Collection[str] | None:
        named = {self.aggregate.attribute, self.aggregate.group_by} - {None}
        return names_of(self.aggregate.where).union(str(name) for name in named)
