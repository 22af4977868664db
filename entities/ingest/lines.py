"""Lines of an import: bytes in, checked lines out. Pure, no database.

Every line is parsed and checked once; what leaves here is accepted by PostgreSQL, so that one bad line never costs the
good ones of its batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import orjson

from atlasco.lib.errors import FieldError, Invalid
from entities.values import (
    ENTITY_TYPE_MAX_CHARS,
    EXTERNAL_ID_MAX_CHARS,
    attributes_errors,
    instant_error,
    key_error,
)

GZIP_MAGIC: Final = b"\x1f\x8b"
# What a gzip body may unpack to: the first MiB whatever it is, and so many times what was sent of it.
_INFLATED_FREE_BYTES: Final = 1 << 20
_INFLATED_TIMES: Final = 200
_PIECE_BYTES: Final = 1 << 18
# The code of a line that a rule of its tenant refuses.
RULE_BROKEN: Final = "rule_broken"
_MEMBERS: Final = frozenset({"entity_type", "external_id", "created_at", "at", "attributes", "tenant"})


@dataclass(frozen=True, slots=True)
class Line:
    """One update of one entity. number: its place in the input, from 1; attributes: JSON text; instants as sent."""

    number: int
    entity_type: str
    external_id: str
    created_at: str | None
    at: str | None
    attributes: bytes
    entity_id: int | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a line was left out. errors: each place that is wrong.

    An answer lists them where the tenant's rules were broken; everywhere else the detail names the place.
    """

    line: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"line": self.line, "code": self.code, "detail": self.detail}
        if self.code == RULE_BROKEN:
            told["errors"] = [error.as_dict() for error in self.errors]
        return told


class BrokenBody(Invalid):
    """The body breaks before its end: it is not a gzip stream, although it says so, or the connection was cut."""

    code = "broken_body"


class BodyInflated(BrokenBody):
    """The gzip body unpacks to more than 200 times its size. Lines of an import do not compress so well."""

    status = 413
    code = "body_too_large"


def line_parse(number: int, raw: bytes) -> Line | Rejection:
    """Return the line, or the first thing that is wrong with it."""
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # The library's sentence is about the JSON alone, and quotes none of it.
        code = "number_out_of_range" if "infinity" in str(error) else "invalid_json"
        return Rejection(number, code, f"Not a JSON object: {error}.")
    if not isinstance(parsed, dict):
        return Rejection(number, "invalid_type", "A line is a JSON object.")
    if not parsed.keys() <= _MEMBERS:
        unknown = min(parsed.keys() - _MEMBERS)
        return Rejection(number, "unknown_field", f"A line has no member {unknown[:100]!r}.")
    entity_type, external_id = parsed.get("entity_type"), parsed.get("external_id")
    created_at, at = parsed.get("created_at"), parsed.get("at")
    attributes = parsed.get("attributes")
    fault = (
        key_error(entity_type, "entity_type", ENTITY_TYPE_MAX_CHARS)
        or key_error(external_id, "external_id", EXTERNAL_ID_MAX_CHARS)
        or (None if created_at is None else instant_error(created_at, "created_at"))
        or (None if at is None else instant_error(at, "at"))
        or next(iter(attributes_errors(attributes, "attributes", null_allowed=True)), None)
    )
    if fault is not None:
        return Rejection(number, fault.code, f"{fault.path}: {fault.detail}", (fault,))
    return Line(number, str(entity_type), str(external_id), created_at, at, orjson.dumps(attributes))


def lines_split(chunks: Iterable[bytes], *, line_max_bytes: int) -> Iterator[tuple[int, bytes | Rejection]]:
    """Yield (line number, bytes) of each line that is not blank; one that is too long is rejected, not kept."""
    number = 1
    pending: list[bytes] = []
    size = 0

    def too_long(number: int, size: int) -> Rejection:
        return Rejection(number, "line_too_long", f"A line has at most {line_max_bytes} bytes; this one has {size}.")

    def pending_line() -> bytes | Rejection:
        return too_long(number, size) if size > line_max_bytes else b"".join(pending)

    for chunk in chunks:
        # Millions of lines may come in a few bytes of gzip, so what is done for each of them alone is little.
        beginning, *lines = chunk.split(b"\n")
        size += len(beginning)
        if size <= line_max_bytes:
            pending.append(beginning)
        else:
            pending.clear()
        if not lines:
            continue
        if not _is_blank(line := pending_line()):
            yield number, line
        end = lines.pop()
        for place, raw in enumerate(lines, start=number + 1):
            if len(raw) > line_max_bytes:
                yield place, too_long(place, len(raw))
            elif raw and not raw.isspace():
                yield place, raw
        number += len(lines) + 1
        size = len(end)
        pending = [end] if size <= line_max_bytes else []
    if not _is_blank(line := pending_line()):
        yield number, line


def _is_blank(line: bytes | Rejection) -> bool:
    return not isinstance(line, Rejection) and not line.strip()


def plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of an NDJSON file, decompressed where the first two, with which no JSON begins, say that it is gzip."""
    rest = iter(chunks)
    head = b""
    while len(head) < len(GZIP_MAGIC) and (chunk := next(rest, b"")):
        head += chunk
    whole = chain([head], rest)
    return gunzip(whole) if head.startswith(GZIP_MAGIC) else whole


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress a gzip stream of one or more members, zeros between and behind them, bounded in memory.

    Raises BrokenBody where it isn't one, BodyInflated.
    """
    decoder = zlib.decompressobj(wbits=31)
    started = False
    room = _INFLATED_FREE_BYTES
    for chunk in chunks:
        room += _INFLATED_TIMES * len(chunk)
        data = chunk
        while data:
            if decoder.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = zlib.decompressobj(wbits=31)
            started = True
            try:
                piece = decoder.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise BrokenBody(f"The body is not gzip: {error}.") from None
            room -= len(piece)
            if room < 0:
                raise BodyInflated
            yield piece
            data = decoder.unconsumed_tail or decoder.unused_data
    if started and not decoder.eof:
        raise BrokenBody("The gzip body ends too early.")
