"""What is asked of a PostgreSQL to learn its positions: each flavour in its own words. ATLASCO_POSTGRES chooses.

vanilla  every PostgreSQL that streams its log to its replicas.
aurora   replicas read the primary's storage: they have no replay position of their own, and the log no timeline.
         `aurora_replica_status()` says what each instance has seen of it; its LSNs are plain numbers. Written by its
         documentation and never run: no Aurora was at hand. Before it is relied on, `manage.py honesty` has to be run
         against one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Provider:
    """SQL expressions. Positions are pg_lsn.

    written: everything committed by now lies before it, on the primary. reached: everything up to it can be seen by a
    snapshot that is taken afterwards, on any instance. at_most: the snapshot before shows nothing behind it.
    timeline: an integer; NULL on a standby, which does not tell. is_standby: whether this is one.
    """

    written: str
    reached: str
    at_most: str
    timeline: str
    is_standby: str = "pg_is_in_recovery()"


# CASE: on an instance of the other kind the function of the one would raise.
_VANILLA: Final = Provider(
    written="pg_current_wal_lsn()",
    reached="CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END",
    at_most="CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END",
    # The name of a log file starts with the timeline, in eight hexadecimal digits.
    timeline="CASE WHEN NOT pg_is_in_recovery()"
    " THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END",
)
_AURORA_WRITER: Final = (
    "(SELECT '0/0'::pg_lsn + max(durable_lsn) FROM aurora_replica_status() WHERE session_id = 'MASTER_SESSION_ID')"
)
_AURORA_HERE: Final = (
    "(SELECT '0/0'::pg_lsn + max(CASE session_id WHEN 'MASTER_SESSION_ID' THEN durable_lsn ELSE current_read_lsn END)"
    " FROM aurora_replica_status() WHERE server_id = aurora_db_instance_identifier())"
)
_AURORA: Final = Provider(
    written=_AURORA_WRITER,
    reached=_AURORA_HERE,
    at_most=f"greatest({_AURORA_HERE}, {_AURORA_WRITER})",
    timeline="1",
)
PROVIDERS: Final = {"vanilla": _VANILLA, "aurora": _AURORA}


def provider() -> Provider:
    """The one that ATLASCO_POSTGRES names."""
    return PROVIDERS[settings.POSTGRES_FLAVOUR]
