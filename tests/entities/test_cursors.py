"""A cursor means something only to the query and the tenant that it was made for."""

from __future__ import annotations

import dataclasses

import pytest
from django.core import signing
from hypothesis import given
from hypothesis import strategies as st

from entities.search.cursors import Cursor, InvalidCursor, cursor_decode, cursor_encode
from entities.search.query import AtLeast, Condition, Query
from tests.entities.effort import examples

NEEDS_NO_SERVER = True
ACME, GLOBEX = 7, 8
QUERY = Query(where=AtLeast(1, (Condition("a", "eq", "b"),)))
CURSOR = Cursor(key="2026-01-01T00:00:00+00:00", entity_id=5, position="0/1A2B3C4D")


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
@examples(100)
def test_a_cursor_comes_back_whole(key: str, entity_id: int) -> None:
    cursor = Cursor(key=key, entity_id=entity_id, position="0/1")
    text = cursor_encode(cursor, tenant_id=ACME, query=QUERY)
    assert cursor_decode(text, tenant_id=ACME, query=QUERY) == cursor
    assert text.isascii() and " " not in text


def test_another_tenants_cursor_is_refused() -> None:
    text = cursor_encode(CURSOR, tenant_id=GLOBEX, query=QUERY)
    with pytest.raises(InvalidCursor):
        cursor_decode(text, tenant_id=ACME, query=QUERY)


@pytest.mark.parametrize(
    "changes",
    [
        {"entity_type": "lamp"},
        {"where": AtLeast(1, (Condition("a", "eq", "c"),))},
        {"where": AtLeast(1, (Condition("a", "eq", True),))},
        {"order_by": "created_at"},
        {"descending": False},
    ],
    ids=str,
)
def test_another_querys_cursor_is_refused(changes: dict[str, object]) -> None:
    text = cursor_encode(CURSOR, tenant_id=ACME, query=QUERY)
    with pytest.raises(InvalidCursor):
        cursor_decode(text, tenant_id=ACME, query=dataclasses.replace(QUERY, **changes))  # type: ignore[arg-type]  # Fields by name.


def test_true_and_1_make_two_queries() -> None:
    one, true = (Query(where=AtLeast(1, (Condition("a", "eq", value),))) for value in (1, True))
    with pytest.raises(InvalidCursor):
        cursor_decode(cursor_encode(CURSOR, tenant_id=ACME, query=one), tenant_id=ACME, query=true)


@pytest.mark.parametrize("changes", [{"limit": 1}, {"fields": ("a",)}, {"count": "exact"}], ids=str)
def test_what_a_page_shows_may_change_on_the_way(changes: dict[str, object]) -> None:
    text = cursor_encode(CURSOR, tenant_id=ACME, query=QUERY)
    changed = dataclasses.replace(QUERY, **changes)  # type: ignore[arg-type]  # Fields by name.
    assert cursor_decode(text, tenant_id=ACME, query=changed) == CURSOR


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    text = cursor_encode(CURSOR, tenant_id=ACME, query=QUERY)
    for place, character in enumerate(text):
        with pytest.raises(InvalidCursor):
            cursor_decode(
                f"{text[:place]}{'A' if character != 'A' else 'B'}{text[place + 1 :]}", tenant_id=ACME, query=QUERY
            )


@pytest.mark.parametrize("text", ["", ":", "a", "a:b", "é", "\x00", "A" * 10_000, "\U0001f4a1:\U0001f4a1"])
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursor_decode(text, tenant_id=ACME, query=QUERY)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"not json", b"null", b'["a", 1]'])
def test_what_another_part_of_the_product_signed_is_refused(body: bytes) -> None:
    for salt in ("entities.search.cursor", "entities.attributes.cursor"):
        text = signing.Signer(salt=salt).sign(signing.b64_encode(body).decode())
        with pytest.raises(InvalidCursor):
            cursor_decode(text, tenant_id=ACME, query=QUERY)
