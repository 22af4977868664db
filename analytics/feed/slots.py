"""The logical slot that the feed reads, and snapshots that fit a position exactly."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import psycopg
from psycopg import pq, sql

from analytics.feed.stream import replication_connect
from atlasco.lib.databases import options_beside
from atlasco.lib.errors import Unavailable
from freshness.tokens import lsn_parse

PUBLICATION: Final = "atlasco"
SLOT: Final = "atlasco_feed"

SlotState: TypeAlias = Literal["missing", "ready", "in use", "lost"]


class SlotInUse(Unavailable):
    """A feed is reading the slot; stop it first."""

    code = "slot_in_use"


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the primary describes it.

    confirmed_lsn: what the feed has acknowledged; retained_bytes: log that is kept for it; safe_bytes: how much more
    may be written before it is lost, None without a limit; detail: why it was lost.
    """

    state: SlotState
    confirmed_lsn: int = 0
    retained_bytes: int = 0
    safe_bytes: int | None = None
    detail: str = ""


_SLOT_READ: Final = (
    "SELECT wal_status, active, coalesce(confirmed_flush_lsn, '0/0')::text,"
    " coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint, safe_wal_size, to_jsonb(s) ->> 'invalidation_reason'"
    " FROM pg_replication_slots s WHERE slot_name = %s AND database = current_database()"
)


def plain_connect(dsn: str, *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
    """An ordinary connection of the replication role, in UTC. Raises psycopg.OperationalError."""
    return psycopg.connect(
        dsn,
        autocommit=autocommit,
        connect_timeout=5,
        application_name="atlasco feed",
        options="-c TimeZone=UTC -c DateStyle=ISO -c statement_timeout=0 -c plan_cache_mode=force_custom_plan",
        **options_beside(dsn),
    )


def slot_read(dsn: str, *, name: str = SLOT) -> Slot:
    """Return what the primary knows of the slot. Raises psycopg.OperationalError."""
    with plain_connect(dsn) as connection:
        row = connection.execute(_SLOT_READ, (name,)).fetchone()
    if row is None:
        return Slot("missing")
    wal_status, active, confirmed, retained, safe, reason = row
    state: SlotState = "lost" if wal_status == "lost" else "in use" if active else "ready"
    return Slot(state, lsn_parse(confirmed), retained, safe, reason or ("rows were removed" if state == "lost" else ""))


def slot_create(dsn: str, *, name: str = SLOT) -> int:
    """Create the slot; return the position from which on it sends everything.

    Waits for every transaction that is writing now. Raises psycopg.errors.DuplicateObject.
    """
    with replication_connect(dsn, application_name="atlasco feed") as connection:
        statement = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput (SNAPSHOT 'nothing')")
        return _consistent_point(connection, statement.format(sql.Identifier(name)))[0]


def slot_drop(dsn: str, *, name: str = SLOT) -> None:
    """Remove the slot; nothing where there is none. Raises SlotInUse."""
    with plain_connect(dsn) as connection:
        try:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
        except psycopg.errors.ObjectInUse:
            raise SlotInUse from None


# Note [Positions after a promotion]
# A promoted replica has the old primary's identifier and goes on with its positions, but what the old one had written
# beyond the point of the promotion is lost, while a store may have it, under positions that now mean something else.
# So a cluster is the identifier together with the timeline: to the feed another timeline is another primary. It makes
# the slot anew, which a replica does not have, and loads every store.
def cluster_identify(dsn: str) -> str:
    """Which history the primary's positions belong to: positions of two of them can't be compared.

    Its system identifier, a slash and the timeline. Raises psycopg.OperationalError.
    """
    system, timeline = _replication_command(dsn, b"IDENTIFY_SYSTEM")[:2]
    return f"{system}/{timeline}"


def lost_from(dsn: str, *, cluster: str, now: str) -> int | None:
    """From which position on the history of an earlier timeline is lost; None where that is not known.

    cluster, now: as `cluster_identify` gave it before and gives it now. Raises psycopg.OperationalError.
    """
    system, _, timeline = cluster.partition("/")
    now_system, _, now_timeline = now.partition("/")
    # Earlier versions recorded no timeline, whichever it was: what they have seen of this one is not lost.
    if system != now_system or not timeline or now_timeline == "1":
        return None
    # Lines of: an earlier timeline, where it ended, why.
    history = _replication_command(dsn, b"TIMELINE_HISTORY " + now_timeline.encode())[1]
    ended = dict(line.split()[:2] for line in history.splitlines() if line.strip() and not line.startswith("#"))
    end = ended.get(timeline)
    return None if end is None else lsn_parse(end)


def _replication_command(dsn: str, command: bytes) -> list[str]:
    """The columns of the one row that a replication command answers."""
    with replication_connect(dsn, application_name="atlasco feed") as connection:
        result = connection.pgconn.exec_(command)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        return [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the primary, readable through `connection` while it is open.

    lsn: the stream's transactions that end behind it are not in the snapshot, all others are.
    floor_lsn: the version of the snapshot's rows, see Note [A snapshot among changes].
    """

    connection: psycopg.Connection[tuple[Any, ...]]
    cluster: str
    lsn: int
    floor_lsn: int


# Note [A snapshot among changes]
# Rows of a snapshot carry no LSN of their own; they must neither win over a later change nor lose to an earlier one.
# A temporary slot exports a snapshot that fits a position exactly, and is created only after every transaction that was
# writing at the beginning has ended. floor_lsn is read before that. So a change that is not in the snapshot was written
# behind floor_lsn and wins over the snapshot's row; one that was written before it is in the snapshot, whose row wins.
# A change between the two is in both, and both say the same or the stream says something newer.
@contextmanager
def snapshot_export(dsn: str) -> Iterator[Snapshot]:
    """Open a snapshot and its exact position. Waits for every transaction that is writing now.

    Raises psycopg.OperationalError; at the end, too, where what was read can't be trusted.
    """
    cluster = cluster_identify(dsn)
    with plain_connect(dsn) as connection, replication_connect(dsn, application_name="atlasco snapshot") as exporter:
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None  # noqa: S101  # The function always returns its row.
        name = sql.Identifier(f"atlasco_snapshot_{secrets.token_hex(6)}")
        statement = sql.SQL("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')")
        lsn, snapshot = _consistent_point(exporter, statement.format(name))
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        # Imported: the exporter may go, and with it the slot, which would retain log as long as we read.
        exporter.close()
        yield Snapshot(connection, cluster, lsn, lsn_parse(row[0]))
        # Rows that moved between partitions meanwhile would be missing, see Note [A move and its readers].
        whole = connection.execute("SELECT public.snapshot_is_whole()").fetchone()
        if whole is None or not whole[0]:
            raise psycopg.OperationalError("Rows moved between partitions while the snapshot was read; read it again.")


def _consistent_point(connection: psycopg.Connection[tuple[object, ...]], statement: sql.Composed) -> tuple[int, str]:
    # Replication commands know the simple protocol only.
    result = connection.pgconn.exec_(statement.as_string(connection).encode())
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result)
    point, snapshot = result.get_value(0, 1), result.get_value(0, 2)
    return lsn_parse((point or b"").decode()), (snapshot or b"").decode()
