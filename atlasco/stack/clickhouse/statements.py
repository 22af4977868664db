"""What the bytes of a request ask for: a statement, and perhaps a stream of rows to insert."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import lz4.frame

from atlasco.stack.clickhouse.errors import bad_arguments, not_implemented, query_too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STATEMENT_MAX_BYTES = 64 << 20
# An INSERT whose rows follow in a format of their own. VALUES stay part of the statement: the engine parses them.
_INSERT_ROWS = re.compile(
    rb"\s*(INSERT\s+INTO\s[^;]*?)\sFORMAT\s+(?!Values\b)(\w+)[ \t]*;?[ \t]*(?:\r?\n|\Z)", re.IGNORECASE
)
_INSERT_HEAD_BYTES = 65_536
_IS_INSERT = re.compile(rb"\s*INSERT\s", re.IGNORECASE)
# Statements after which a handle is what it was before: not USE, SET or what makes temporary tables.
_LEAVES_HANDLE = re.compile(r"[\s(]*(SELECT|WITH|INSERT|ALTER|OPTIMIZE|TRUNCATE)\b", re.IGNORECASE)
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)


@dataclass(slots=True)
class Statement:
    """rows: the encoded rows of an INSERT in `insert_format`, in pieces as they arrive; None where there are none.

    output_format: what the statement itself asks for in a FORMAT clause; empty where it has none.
    """

    sql: str
    output_format: str = ""
    insert_format: str = ""
    rows: Iterator[bytes] | None = None
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def is_insert(self) -> bool:
        return bool(_IS_INSERT.match(self.sql.encode("utf-8", "surrogateescape")))

    @property
    def leaves_handle(self) -> bool:
        """Whether the handle that runs it is afterwards as it was before. Never after what may be several."""
        return bool(_LEAVES_HANDLE.match(self.sql)) and ";" not in self.sql.rstrip("; \n")


def statement_read(*, url_query: str, body: Iterator[bytes], content_type: str) -> Statement:
    """Read as much of the body as belongs to the statement.

    url_query: the `query` parameter; the body continues it, as at a clickhouse-server.
    Raises EngineError: SYNTAX_ERROR where a statement is too long, NOT_IMPLEMENTED for external tables.
    """
    if content_type.lower().startswith("multipart/form-data"):
        fields = _form_fields(b"".join(body), content_type=content_type)
        return _plain(fields.pop("query", url_query).encode(), fields=fields)
    head = url_query.encode()
    if head:
        head += b"\n"
    match = None
    for piece in body:
        head += piece
        match = _INSERT_ROWS.match(head[:_INSERT_HEAD_BYTES])
        if match is not None and match.end() < len(head):
            break
        if len(head) > STATEMENT_MAX_BYTES:
            raise query_too_large(f"A statement may be {STATEMENT_MAX_BYTES} bytes long")
    else:
        match = _INSERT_ROWS.match(head[:_INSERT_HEAD_BYTES])
    if match is None:
        return _plain(head)
    return Statement(
        sql=match[1].decode("utf-8", "surrogateescape"),
        insert_format=match[2].decode(),
        rows=_first_then(head[match.end() :], body),
    )


def body_pieces(pieces: Iterable[bytes], *, encoding: str) -> Iterator[bytes]:
    """A body without its Content-Encoding. Raises EngineError for an encoding that we don't know."""
    decode = _decoder(encoding)
    for piece in pieces:
        if decoded := decode(piece):
            yield decoded


def compressed(answer: bytes, *, accept_encoding: str) -> tuple[bytes, str]:
    """An answer in an encoding that the client accepts, and its name; empty where it accepts none of ours."""
    if "lz4" in accept_encoding:
        return lz4.frame.compress(answer), "lz4"
    if "zstd" in accept_encoding:
        return zstd.compress(answer), "zstd"
    if "gzip" in accept_encoding:
        compressor = zlib.compressobj(level=1, wbits=31)
        return compressor.compress(answer) + compressor.flush(), "gzip"
    return answer, ""


def _plain(sql: bytes, *, fields: dict[str, str] | None = None) -> Statement:
    text = sql.decode("utf-8", "surrogateescape").rstrip()
    match = None if _IS_INSERT.match(sql) else _TRAILING_FORMAT.search(text[-200:])
    return Statement(sql=text, output_format=match[1] if match else "", fields=fields or {})


def _first_then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _form_fields(body: bytes, *, content_type: str) -> dict[str, str]:
    """The fields of a form. Files in it would be external tables, which the embedded engine has not."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise not_implemented("External tables are not supported by the embedded engine")
        payload = part.get_payload(decode=True)
        fields[str(part.get_param("name", header="content-disposition"))] = (
            payload.decode() if isinstance(payload, bytes) else ""
        )
    return fields


def _decoder(encoding: str) -> Callable[[bytes], bytes]:
    if encoding in {"", "identity"}:
        return lambda piece: piece
    if encoding == "lz4":
        return _framed(lz4.frame.LZ4FrameDecompressor)
    if encoding == "zstd":
        return _framed(zstd.ZstdDecompressor)
    if encoding in {"gzip", "deflate"}:
        return zlib.decompressobj(47).decompress
    raise bad_arguments(f"Unsupported Content-Encoding {encoding!r}")


def _framed(new: Callable[[], Any]) -> Callable[[bytes], bytes]:
    """A decoder that accepts frame after frame: clients compress each block of an insert on its own."""
    decompressor = new()

    def decode(piece: bytes) -> bytes:
        nonlocal decompressor
        decoded = []
        while piece:
            decoded.append(decompressor.decompress(piece))
            piece = b""
            if decompressor.eof:
                piece = decompressor.unused_data or b""
                decompressor = new()
        return b"".join(decoded)

    return decode
