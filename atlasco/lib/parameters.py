"""Query parameters of the API: nothing unknown is passed over, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rest_framework.request import Request

from atlasco.lib.errors import FieldError, Invalid

# Forms and templates send these empty where nobody filled them in.
_EMPTY_IS_ABSENT: Final = frozenset({"cursor", "limit", "entity_type", "external_id"})
# Python refuses to read thousands of digits with an error of its own.
_DIGITS_MAX: Final = 19


class InvalidParameter(Invalid):
    """A query parameter is unknown or can't be understood."""

    code = "invalid_parameter"


def parameters(request: Request, known: Iterable[str] = ()) -> dict[str, str]:
    """The query parameters. Raises InvalidParameter for an unknown or a repeated one.

    `cursor`, `limit`, `entity_type` and `external_id` are absent where they are empty.
    """
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
    sent = {name: str(request.query_params[name]) for name in request.query_params}
    return {name: value for name, value in sent.items() if value or name not in _EMPTY_IS_ABSENT}


def parameter_error(name: str, detail: str) -> InvalidParameter:
    return InvalidParameter(detail, errors=[FieldError(name, "invalid_parameter", detail)])


def flag_parameter(values: dict[str, str], name: str) -> bool:
    value = values.get(name, "false")
    if value not in {"true", "false"}:
        raise parameter_error(name, f"`{name}` is true or false.")
    return value == "true"


def whole_parameter(values: dict[str, str], name: str, least: int, most: int) -> int | None:
    """None where it was not sent."""
    text = values.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and least <= int(text) <= most:
        return int(text)
    raise parameter_error(name, f"`{name}` is a whole number from {least} to {most}.")
