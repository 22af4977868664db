"""An Idempotency-Key and a body without a length: a cut connection looks like its end, so a retry must run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from atlasco.lib import clock
from tenants.models import Tenant
from tenants.services import token_create
from tests.tenants.conftest import tenant_make

__all__ = ["tenant_make"]

LINES = [
    f'{{"entity_type":"t","external_id":"e{number}","attributes":{{"n":{number}}}}}\n'.encode() for number in range(3)
]


@pytest.fixture
def send(live_db: None, web_url: str, tenant_make: Callable[..., Tenant]) -> Callable[[Any], requests.Response]:
    _, secret = token_create(tenant=tenant_make("acme"), name="test", now=clock.now())

    def post(body: Any) -> requests.Response:
        return requests.post(
            f"{web_url}/api/v1/entities/import/",
            data=body,
            headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": "once"},
            timeout=30,
        )

    return post


def chunked(lines: list[bytes]) -> Iterator[bytes]:
    yield from lines


def test_a_chunked_retry_with_the_rest_of_the_body_is_imported(send: Callable[[Any], requests.Response]) -> None:
    assert send(chunked(LINES[:1])).json()["created"] == 1
    whole = send(chunked(LINES))
    assert (whole.status_code, whole.json()["created"], whole.json()["unchanged"]) == (200, 2, 1)
    again = send(chunked(LINES))
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == whole.json()


def test_another_body_of_known_length_is_a_conflict(send: Callable[[Any], requests.Response]) -> None:
    assert send(LINES[0]).json()["created"] == 1
    refused = send(LINES[1])
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
