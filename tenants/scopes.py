"""Which scope of a token a request needs. Not in `tenants.api`: DRF loads that first of all, which makes circles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tenants.members.models import ApiToken

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def scope_required(view: Any, method: str) -> str:
    """The scope that this method of this view, or of this class of views, needs; None as a view has the default."""
    default = ApiToken.Scope.READ if method in _READS else ApiToken.Scope.WRITE
    declared = getattr(view, "required_scope", None)
    if isinstance(declared, Mapping):
        return str(declared.get(method, default))
    return str(declared or default)
