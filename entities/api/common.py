"""What the doors share: parts of paths, ETags, and entities as JSON."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from rest_framework.request import Request

from atlasco.lib.clock import iso
from atlasco.lib.errors import Invalid
from atlasco.lib.parameters import whole_parameter
from entities.search.query import LIMIT_DEFAULT, LIMIT_MAX
from entities.search.run import EntityRow
from entities.values import name_error

# Python refuses to read thousands of digits with an error of its own.
_DIGITS_MAX: Final = 19


class InvalidName(Invalid):
    """No attribute can have this name."""

    code = "invalid_name"


def limit_parameter(values: dict[str, str]) -> int:
    return whole_parameter(values, "limit", 1, LIMIT_MAX) or LIMIT_DEFAULT


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
