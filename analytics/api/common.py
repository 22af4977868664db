"""Parameters and cursors of analytics."""

from __future__ import annotations

from typing import Any

import orjson
from django.core import signing

from entities.api.common import parameter_error
from entities.search.cursors import InvalidCursor


def whole_parameter(values: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most:
        return int(text)
    raise parameter_error(name, f"`{name}` is a whole number from {least} to {most}.")


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
