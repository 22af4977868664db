"""The messages of PostgreSQL's output plugin `pgoutput`, protocol version 1, decoded. No I/O.

Version 1 sends a transaction only when it is committed and PostgreSQL itself spills large ones to its disk
(`logical_decoding_work_mem`). So nothing that reaches us can still be rolled back, and none of it has to be kept until
its commit arrives: a transaction of any size passes through in batches.
Format: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

from analytics.feed.events import UNCHANGED
from atlasco.lib.clock import to_us

# PostgreSQL counts from 2000-01-01.
POSTGRES_EPOCH_US: Final = 946_684_800_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_US: Final = 86_400_000_000
# 400 years of the Gregorian calendar.
_CYCLE_YEARS: Final = 400
_CYCLE_DAYS: Final = 146_097

_BEGIN: Final = struct.Struct(">xQqI")
_COMMIT: Final = struct.Struct(">xxQQq")
_RELATION: Final = struct.Struct(">xI")
_COLUMN: Final = struct.Struct(">Ii")
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">H")
_MESSAGE: Final = struct.Struct(">xBQ")
_TRUNCATE: Final = struct.Struct(">xIB")

Convert: TypeAlias = Callable[[bytes], Any]


def _text(raw: bytes) -> str:
    return raw.decode()


def _boolean(raw: bytes) -> bool:
    return raw == b"t"


def lsn_value(raw: bytes) -> int:
    """An LSN as an integer."""
    high, _, low = raw.partition(b"/")
    return (int(high, 16) << 32) | int(low, 16)


# The rows of one transaction mostly have the same few instants.
@lru_cache(maxsize=4096)
def instant_us(raw: bytes) -> int:
    """A timestamptz in ISO style and UTC as microseconds since 1970."""
    text = raw.decode()
    try:
        return to_us(datetime.fromisoformat(text))
    except ValueError:
        return _far_instant_us(text)


def _far_instant_us(text: str) -> int:
    """The same outside of Python's years 1 to 9999. PostgreSQL's calendar is the Gregorian one for all time."""
    text, before_christ, _ = text.partition(" BC")
    day_text, _, time_text = text.partition(" ")
    year, month, day = (int(part) for part in day_text.split("-"))
    if before_christ:
        year = 1 - year
    shift = (year - 2000) // _CYCLE_YEARS
    days = date(year - shift * _CYCLE_YEARS, month, day).toordinal() + shift * _CYCLE_DAYS - _EPOCH_ORDINAL
    clock = datetime.fromisoformat(f"2000-01-01 {time_text}") - datetime(2000, 1, 1, tzinfo=UTC)
    return days * _DAY_US + clock.seconds * 1_000_000 + clock.microseconds


# By type: bool, int8, int2, int4, timestamptz, pg_lsn. Everything else is text: numbers keep all of their digits.
_CONVERT: Final[dict[int, Convert]] = {16: _boolean, 20: int, 21: int, 23: int, 1184: instant_us, 3220: lsn_value}


# What no store keeps, so that its bytes are not looked at: there is one of each for every value.
_UNWANTED: Final = frozenset({("entity_attributes", "numeric_key"), ("entity_attributes", "indexed")})


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as its last relation message described it. columns: name and conversion, None for one nobody wants."""

    name: str
    columns: tuple[tuple[str, Convert | None], ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """commit_lsn: where the commit record begins."""

    commit_lsn: int
    committed_us: int


@dataclass(frozen=True, slots=True)
class Commit:
    """end_lsn: the position of whoever has applied the transaction."""

    end_lsn: int


# Not frozen: setting the fields of a frozen one takes longer than decoding a column, and there is one for every row.
@dataclass(slots=True)
class RowChange:
    """row: None for a delete; old_key: the key before, where the update changed it or the row was deleted."""

    relation: Relation
    row: dict[str, Any] | None
    old_key: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Truncate:
    relations: list[Relation]


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    prefix: str
    content: bytes
    is_transactional: bool


Message: TypeAlias = Begin | Commit | RowChange | Truncate | LogicalMessage


class Decoder:
    """One connection's messages. A new connection starts with a new decoder: tables are described to each anew."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}

    def decode(self, message: bytes) -> Message | None:
        """What the message says; None for one that carries no news (a table's description, an origin, a type)."""
        match message[0]:
            case 0x49:  # I
                relation = self._relation(message)
                row, _ = _tuple(message, 6, relation)
                return RowChange(relation, row, None)
            case 0x55:  # U
                return self._update(message)
            case 0x44:  # D
                relation = self._relation(message)
                old, _ = _tuple(message, 6, relation)
                return RowChange(relation, None, _key_of(old, relation))
            case 0x42:  # B
                lsn, committed, _xid = _BEGIN.unpack_from(message)
                return Begin(lsn, committed + POSTGRES_EPOCH_US)
            case 0x43:  # C
                _lsn, end_lsn, _committed = _COMMIT.unpack_from(message)
                return Commit(end_lsn)
            case 0x52:  # R
                self._describe(message)
                return None
            case 0x54:  # T
                count, _options = _TRUNCATE.unpack_from(message)
                oids = struct.unpack_from(f">{count}I", message, _TRUNCATE.size)
                return Truncate([self._relations[oid] for oid in oids])
            case 0x4D:  # M
                is_transactional, _lsn = _MESSAGE.unpack_from(message)
                prefix, place = _name(message, _MESSAGE.size)
                (length,) = _LENGTH.unpack_from(message, place)
                return LogicalMessage(prefix, message[place + 4 : place + 4 + length], is_transactional == 1)
        return None

    def _relation(self, message: bytes) -> Relation:
        (oid,) = _RELATION.unpack_from(message)
        return self._relations[oid]

    def _update(self, message: bytes) -> RowChange:
        relation = self._relation(message)
        old_key = None
        place = 5
        if message[place] in b"KO":
            old, place = _tuple(message, place + 1, relation)
            old_key = _key_of(old, relation)
        row, _ = _tuple(message, place + 1, relation)
        return RowChange(relation, row, old_key)

    def _describe(self, message: bytes) -> None:
        (oid,) = _RELATION.unpack_from(message)
        _schema, place = _name(message, _RELATION.size)
        name, place = _name(message, place)
        (count,) = _COUNT.unpack_from(message, place + 1)  # Behind the replica identity.
        place += 3
        columns, key = [], []
        for _ in range(count):
            is_key = message[place] & 1
            column, place = _name(message, place + 1)
            type_oid, _modifier = _COLUMN.unpack_from(message, place)
            place += _COLUMN.size
            wanted = (name, column) not in _UNWANTED
            columns.append((column, _CONVERT.get(type_oid, _text) if wanted else None))
            if is_key:
                key.append(column)
        self._relations[oid] = Relation(name, tuple(columns), tuple(key))


def _key_of(row: dict[str, Any], relation: Relation) -> dict[str, Any]:
    return {column: row[column] for column in relation.key}


def _name(message: bytes, place: int) -> tuple[str, int]:
    end = message.index(0, place)
    return message[place:end].decode(), end + 1


def _tuple(message: bytes, place: int, relation: Relation) -> tuple[dict[str, Any], int]:
    """The columns of a tuple, and the place behind it. The hot loop of the feed."""
    place += 2
    row: dict[str, Any] = {}
    length_at = _LENGTH.unpack_from
    for column, convert in relation.columns:
        kind = message[place]
        if kind == 0x74:  # t: as text
            (length,) = length_at(message, place + 1)
            start = place + 5
            place = start + length
            if convert is not None:
                row[column] = convert(message[start:place])
        else:  # n: NULL, u: unchanged and stored apart
            row[column] = None if kind == 0x6E else UNCHANGED
            place += 1
    return row, place
