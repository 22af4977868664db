"""Cursors: where a page ended. Signed, bound to tenant and query, and opaque to clients."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson
from django.core import signing

from atlasco.lib.errors import Invalid
from entities.search.query import Query
from freshness.timelines import NOWHERE, Position, position_parse

_SALT: Final = "entities.search.cursor"


class InvalidCursor(Invalid):
    """This cursor is not one that this query and this tenant were given. Start again without a cursor."""

    code = "invalid_cursor"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page. key: text of the order_by column; position: what the page's source had applied."""

    key: str
    entity_id: int
    position: str


def _query_digest(tenant_id: int, query: Query) -> str:
    """What must stay the same from page to page: all but limit, cursor, fields and count."""
    identity = repr((tenant_id, query.entity_type, query.where, query.order_by, query.descending))
    return sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def cursor_encode(cursor: Cursor, *, tenant_id: int, query: Query) -> str:
    body = orjson.dumps([cursor.key, cursor.entity_id, cursor.position, _query_digest(tenant_id, query)])
    return signing.Signer(salt=_SALT).sign(signing.b64_encode(body).decode())


def cursor_position(*, tenant_id: int, query: Query) -> Position:
    """The log position that the page before may have shown: the next one must not come from an older state.

    NOWHERE without a cursor.

    Raises InvalidCursor.
    """
    if query.cursor is None:
        return NOWHERE
    return position_parse(cursor_decode(query.cursor, tenant_id=tenant_id, query=query).position)


def cursor_decode(text: str, *, tenant_id: int, query: Query) -> Cursor:
    """Return what the cursor says. Raises InvalidCursor for a forged one, another tenant's or another query's."""
    try:
        body: Any = orjson.loads(signing.b64_decode(signing.Signer(salt=_SALT).unsign(text).encode()))
        key, entity_id, position, digest = body
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidCursor from None
    if digest != _query_digest(tenant_id, query):
        raise InvalidCursor
    return Cursor(key, entity_id, position)
