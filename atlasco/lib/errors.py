"""The four kinds of expected trouble, and what an answer says of each.

A concrete error is a subclass that sits beside the function that raises it; its docstring is its message.
`atlasco.api` maps the kinds to RFC 9457 problem answers; nothing else needs to know HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in a body. path: a JSON-path-like place ("where[0][1]"); code: stable, for programs."""

    path: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"path": self.path, "code": self.code, "detail": self.detail}


class Problem(Exception):
    """Something went wrong that we expect and can explain."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "problem"

    def __init__(self, detail: str = "", *, errors: list[FieldError] | None = None, **extra: Any) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or "").split())
        self.errors = errors or []
        self.extra = extra
        super().__init__(self.detail)

    @property
    def sentences(self) -> list[str]:
        """What to tell people: every fault by itself, or the whole in one sentence."""
        return [error.detail for error in self.errors] or [self.detail]


class Invalid(Problem):
    """The request is not of the form it must have."""

    status = 400
    code = "invalid"


class NotFound(Problem):
    """There is no such thing for this tenant."""

    status = 404
    code = "not_found"


class Conflict(Problem):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"


class Unavailable(Problem):
    """The answer can't be given now; try again later."""

    status = 503
    code = "unavailable"
    retry_after_s: int = 1
