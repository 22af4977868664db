"""Parameters and cursors of analytics."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from django.core import signing

from atlasco.lib.parameters import parameter_error
from entities.search.cursors import InvalidCursor
from entities.values import instant_error, instant_text


def instant_parameter(values: dict[str, str], name: str) -> datetime | None:
    """In UTC; None where it was not sent."""
    text = values.get(name)
    if text is None:
        return None
    if (error := instant_error(text, name)) is not None:
        raise parameter_error(name, error.detail)
    return datetime.fromisoformat(instant_text(text)).astimezone(UTC)


def signed_encode(body: list[Any], *, salt: str) -> str:
    """A list as a cursor."""
    return signing.Signer(salt=salt).sign(signing.b64_encode(orjson.dumps(body)).decode())


def signed_decode(text: str, *, salt: str, size: int) -> list[Any]:
    """The list that a cursor is. Raises InvalidCursor for one that is none of ours."""
    try:
        body = orjson.loads(signing.b64_decode(signing.Signer(salt=salt).unsign(text).encode()))
    except (signing.BadSignature, ValueError):
        raise InvalidCursor from None
    if not isinstance(body, list) or len(body) != size:
        raise InvalidCursor
    return body
