"""The text of a token, taken apart. No server needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.tokens import token_make, token_parse


@pytest.fixture(autouse=True)
def _database_for_every_test() -> None:
    """These tests need none."""


@given(st.integers(min_value=1, max_value=2**31 - 1))
def test_a_token_names_its_tenant(tenant_id: int) -> None:
    token = token_parse(token_make(tenant_id=tenant_id))
    assert token is not None and token.tenant_id == tenant_id


@given(st.text())
def test_anything_else_is_no_token(text: str) -> None:
    assert token_parse(text) is None
    assert token_parse(f"atl_1_{text}") is None or len(text) >= 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "atl_1_short",
        "atl_0_" + "x" * 43,
        "atl_zzzzzz_" + "x" * 43,  # Beyond an integer.
        "atl_-1_" + "x" * 43,
        "ATL_1_" + "x" * 43,
        "atl_1_" + "x" * 43 + "\n",
        "atl_1_" + "é" * 43,
        "atl_\u0661_" + "x" * 43,  # A digit, but not one of ours.
    ],
)
def test_a_malformed_token_is_none(text: str) -> None:
    assert token_parse(text) is None
