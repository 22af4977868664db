"""What the change feed hands to its appliers. Pure data, without any word of the source that it came from.

# Note [The event contract]
A source of events gives, in commit order: for each changed row of `entities`, `entity_attributes` and
`attribute_metadata` a `Change`; at its end each transaction's position, and the newest row of `heartbeat`. Debezium's
PostgreSQL connector, with `ExtractNewRecordState` (`delete.handling.mode=rewrite`, `add.fields=op,lsn,source.ts_us,
source.txId,source.sequence`), `provide.transaction.metadata` and the publication `atlasco`, carries the same facts, so
that a consumer of its topics can fill these classes and feed the same appliers:

    Change.table          topic's last part: publication via partition root names the table, not a leaf
    Change.key            the record's key: tenant_id, entity_id, attribute_name
    Change.row            the record's value; None where `__deleted` is true. jsonb, numeric and text as text
                          (`decimal.handling.mode=string`), timestamptz as microseconds since 1970 (`ZonedTimestamp`
                          parsed), a value equal to `unavailable.value.placeholder` as UNCHANGED
    Change.lsn            `__lsn`, of the change's own record
    Change.commit_lsn     the first of `__source_sequence`: the last commit before, or that of the transaction itself
    Change.committed_us   `__source_ts_us`
    Change.tenant_id      of the key
    Batch.end_lsn         the END event of the transaction topic; batches are cut there
    messages              `message` topic, by prefix: tenant erased, reload, rows moved, rows archived, samples
One partition for all topics, or a consumer that merges them by LSN: appliers rely on commit order.

# Note [Order by LSN]
A change is known by the LSN of its own log record. Two changes of one row never overlap: the second waits for the lock
of the first, so its record lies behind the commit of the first. Hence, of two changes of one key, the one with the
greater LSN is the newer, however often and in whatever order they arrive: stores keep the greatest, and replay is a
no-op.
A position is the end of a commit record: everything committed before it is contained.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Table: TypeAlias = Literal["entities", "entity_attributes", "attribute_metadata"]
HEARTBEAT_TABLE: Final = "heartbeat"

# Sent in the log itself (pg_logical_emit_message), so that they take effect at their place among the changes.
PREFIX_TENANT_ERASED: Final = "atlasco.tenant_erased"
PREFIX_RELOAD: Final = "atlasco.feed_reload"
# Values that a later line of the same import batch replaced before they were ever stored: samples all the same.
PREFIX_SAMPLES: Final = "atlasco.samples"
# Entities of a tenant that are in files from here on, and no longer in the primary: no deletion tells of them.
PREFIX_ROWS_ARCHIVED: Final = "atlasco.rows_archived"
# First statement of a transaction that only moves rows between partitions: none of its changes means anything.
PREFIX_ROWS_MOVED: Final = "atlasco.rows_moved"


class Unchanged(enum.Enum):
    """A large value that the update left alone: PostgreSQL does not send it again."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


# Not frozen: that would cost every change two microseconds. Nobody may change one all the same: stores share them.
@dataclass(slots=True)
class Change:
    """One committed change of one row.

    row: after the change; None where it was deleted. jsonb, numeric and text are text, instants are microseconds since
    1970, integers and booleans are themselves. key: the primary key; an update that changes it comes as two changes.
    lsn: of the change's record; commit_lsn: where the commit record begins; committed_us: microseconds since 1970.
    """

    table: Table
    tenant_id: int
    key: tuple[Any, ...]
    row: Mapping[str, Any] | None
    lsn: int
    commit_lsn: int
    committed_us: int


@dataclass(frozen=True, slots=True)
class TenantErased:
    """The tenant is gone. Its changes before this one may still be on their way to a store; after it there are none."""

    tenant_id: int
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class RowsArchived:
    """Some of the tenant's entities are in files from here on, and no longer in the primary. They may come back."""

    tenant_id: int
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class TableTruncated:
    """All rows of a table are gone at once."""

    table: Table
    lsn: int
    commit_lsn: int


@dataclass(frozen=True, slots=True)
class ReloadRequested:
    """Somebody asks for a new snapshot. store: the applier's name, or empty for every one."""

    store: str
    commit_lsn: int


Event: TypeAlias = Change | TenantErased | RowsArchived | TableTruncated | ReloadRequested


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The row of `freshness`: whoever has applied it has everything up to lsn, and that was so at ts_us."""

    seq: int
    ts_us: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a store is. lsn: everything committed before it is contained; heartbeat: the newest applied, if any.

    cluster: the primary's system identifier and timeline; positions of two clusters can't be compared.
    """

    cluster: str
    lsn: int
    heartbeat: Heartbeat | None = None

    def is_of(self, cluster: str) -> bool:
        """Whether it is a position of this cluster. Of a first timeline, earlier versions recorded no number."""
        return cluster in {self.cluster, f"{self.cluster}/1"}


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in commit order. A transaction that is too large for one batch goes on in the next.

    end_lsn: the end of the last whole transaction in it, 0 where it ends none; heartbeat: the newest in it.
    size_bytes: about what it takes in memory.
    """

    events: list[Event]
    end_lsn: int
    heartbeat: Heartbeat | None
    size_bytes: int
