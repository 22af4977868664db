"""Two more kinds of expected trouble, and how a broken constraint becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from django.db import IntegrityError

from atlasco.lib.errors import Problem


class Unauthorized(Problem):
    """The request carries no usable credentials."""

    status = 401
    code = "unauthorized"
    challenge: ClassVar[str] = 'Bearer realm="atlasco"'  # RFC 6750; becomes WWW-Authenticate.


class Forbidden(Problem):
    """The credentials are good, but not for this."""

    status = 403
    code = "forbidden"


@contextmanager
def constraint_problems(problems: Mapping[str, type[Problem]]) -> Iterator[None]:
    """Raise the problem that stands for the constraint which the code inside broke; other errors pass."""
    try:
        yield
    except IntegrityError as error:
        diagnostics = getattr(error.__cause__, "diag", None)
        problem = problems.get(getattr(diagnostics, "constraint_name", None) or "")
        if problem is None:
            raise
        raise problem from error
