"""Consistency tokens: what comes back is what was put in, or nothing."""

from __future__ import annotations

import string

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from freshness.tokens import (
    ConsistencyToken,
    InvalidConsistencyToken,
    lsn_parse,
    lsn_text,
    token_decode,
    token_encode,
)

ACME, GLOBEX = 7, 8
LSNS = st.integers(0, 2**64 - 1)


@given(LSNS)
@settings(deadline=None, derandomize=True)
def test_a_position_survives_being_written(lsn: int) -> None:
    assert lsn_parse(lsn_text(lsn)) == lsn


@pytest.mark.parametrize(
    ("lsn", "text"), [(0, "0/0"), (0x1A2B3C4D, "0/1A2B3C4D"), (1 << 32, "1/0"), (2**64 - 1, "FFFFFFFF/FFFFFFFF")]
)
def test_a_position_is_written_as_postgresql_does(lsn: int, text: str) -> None:
    assert lsn_text(lsn) == text


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**31 - 1), LSNS)
@settings(deadline=None, derandomize=True)
def test_a_token_comes_back_whole(timeline: int, tenant_id: int, lsn: int) -> None:
    token = ConsistencyToken(timeline=timeline, tenant_id=tenant_id, lsn=lsn)
    text = token_encode(token)
    assert token_decode(text, tenant_id=tenant_id) == token
    # Of one size, so that it tells nothing, and without a character that a header or a shell would mind.
    assert len(text) == 39
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


def test_another_tenants_token_is_refused() -> None:
    text = token_encode(ConsistencyToken(timeline=1, tenant_id=ACME, lsn=100))
    assert token_decode(text, tenant_id=ACME).lsn == 100
    with pytest.raises(InvalidConsistencyToken):
        token_decode(text, tenant_id=GLOBEX)


def test_a_token_with_any_character_changed_is_refused() -> None:
    text = token_encode(ConsistencyToken(timeline=1, tenant_id=ACME, lsn=0x123456789A))
    for place, character in enumerate(text):
        forged = f"{text[:place]}{'A' if character != 'A' else 'B'}{text[place + 1 :]}"
        with pytest.raises(InvalidConsistencyToken):
            token_decode(forged, tenant_id=ACME)


@pytest.mark.parametrize(
    "text", ["", "A", "AAAA", "not a token", "===", "é", "A" * 39, "A" * 40, "A" * 10_000, "\x00", "+/" * 20]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidConsistencyToken):
        token_decode(text, tenant_id=ACME)


def test_another_installations_token_is_refused() -> None:
    with override_settings(SECRET_KEY="another installation"):
        text = token_encode(ConsistencyToken(timeline=1, tenant_id=ACME, lsn=100))
    with pytest.raises(InvalidConsistencyToken):
        token_decode(text, tenant_id=ACME)
