"""What the doors share: query parameters, ETags, and entities as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson
from rest_framework.request import Request

from atlasco.lib.clock import iso
from atlasco.lib.errors import FieldError, Invalid
from entities.search.query import LIMIT_DEFAULT, LIMIT_MAX
from entities.search.run import EntityRow
from entities.values import name_error

# Python refuses to read thousands of digits with an error of its own.
_DIGITS_MAX: Final = 19


class InvalidParameter(Invalid):
    """A query parameter is unknown or can't be understood."""

    code = "invalid_parameter"


class InvalidName(Invalid):
    """No attribute can have this name."""

    code = "invalid_name"


def parameters(request: Request, known: Iterable[str]) -> dict[str, str]:
    """The query parameters. Raises InvalidParameter for an unknown or a repeated one: nothing is passed over."""
    names = tuple(known)
    errors = []
    for name, values in request.query_params.lists():
        if name not in names:
            errors.append(
                FieldError(
                    name[:100],
                    "unknown_parameter",
                    f"There is no parameter {name[:100]!r} here; known are {', '.join(names) or 'none'}.",
                )
            )
        elif len(values) > 1:
            errors.append(FieldError(name, "repeated_parameter", f"`{name}` stands more than once."))
        elif "\x00" in values[0]:
            errors.append(FieldError(name, "nul_character", f"`{name}` can't hold the NUL character."))
    if errors:
        raise InvalidParameter(errors[0].detail, errors=errors)
    return {name: str(request.query_params[name]) for name in request.query_params}


def parameter_error(name: str, detail: str) -> InvalidParameter:
    return InvalidParameter(detail, errors=[FieldError(name, "invalid_parameter", detail)])


def flag_parameter(values: dict[str, str], name: str) -> bool:
    value = values.get(name, "false")
    if value not in {"true", "false"}:
        raise parameter_error(name, f"`{name}` is true or false.")
    return value == "true"


def limit_parameter(values: dict[str, str]) -> int:
    text = values.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and 1 <= int(text) <= LIMIT_MAX):
        raise parameter_error("limit", f"`limit` is a whole number from 1 to {LIMIT_MAX}.")
    return int(text)


def attribute_name_parse(text: str) -> str:
    """The attribute name of a path. Raises InvalidName for one that no attribute could have."""
    if (error := name_error(text, "name")) is not None:
        raise InvalidName(error.detail, errors=[error])
    return text


def entity_json(row: EntityRow) -> dict[str, Any]:
    """An entity as the API shows it. The document passes through as PostgreSQL wrote it: no number is touched."""
    return {
        "entity_id": str(row.entity_id),
        "entity_type": row.entity_type,
        "external_id": row.external_id,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "attributes": orjson.Fragment(row.attributes),
    }


def etag(entity_id: int, version: int) -> str:
    return f'"{entity_id}-{version}"'


def versions_expected(request: Request, entity_id: int) -> frozenset[int] | None:
    """The versions that If-Match allows; None without the header or with `*`. Empty where no tag is one of ours."""
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    # As strong tags, whole: 412 for what was never one of ours.
    tags = (re.fullmatch(rf'"{entity_id}-([0-9]{{1,{_DIGITS_MAX}}})"', part.strip()) for part in header.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag is not None)


def none_match(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this version, or any with `*`, so that the answer is 304."""
    header = request.headers.get("If-None-Match", "")
    return header.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in header.split(","))
