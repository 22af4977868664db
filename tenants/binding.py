"""Who is asking: the tenant bound for the present context.

One ContextVar holds it. One context manager sets it and resets it by its token; the middleware, Celery tasks, commands
and tests all enter by it. The database backend reads it before every statement, on every alias.

# Note [Lazy binding]
Entering or leaving a binding sends nothing: a connection takes the binding over with its next statement
(`tenants.database.base`). So a binding costs one round trip on each connection that is really used, and none on others.
A new thread starts with no binding, which is the public one: nobody's rows, by row-level security.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenants.models import Tenant

PUBLIC_SCHEMA = "public"
TEMPLATE_SCHEMA = "tenant_template"


class TenantNotBound(RuntimeError):
    """This code needs a tenant, and none is bound: enter `tenant_bind(tenant)` first."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a connection must be set to. Two bindings are equal when the database could not tell them apart.

    search_path: as PostgreSQL takes it; tenant_id: the text of `atlasco.tenant_id`, empty for public.
    """

    search_path: str
    tenant_id: str
    schema_name: str = field(compare=False)
    tenant: Tenant | None = field(compare=False, repr=False)


def _schema_binding(schema_name: str, *, tenant: Tenant | None = None, include_public: bool = True) -> Binding:
    names = [schema_name] if schema_name == PUBLIC_SCHEMA or not include_public else [schema_name, PUBLIC_SCHEMA]
    quoted = ", ".join('"{}"'.format(name.replace('"', '""')) for name in names)
    # pg_temp last, or a temporary table would stand in for a real one of the same name.
    return Binding(
        search_path=f"{quoted}, pg_temp",
        tenant_id="" if tenant is None else str(tenant.pk),
        schema_name=schema_name,
        tenant=tenant,
    )


_PUBLIC = _schema_binding(PUBLIC_SCHEMA)
_bound: ContextVar[Binding] = ContextVar("tenant_binding", default=_PUBLIC)


def binding_current() -> Binding:
    """The binding of this context; the public one where nobody entered any."""
    return _bound.get()


def binding_replace(schema_name: str, *, tenant: Tenant | None, include_public: bool) -> None:
    """Change the binding without a scope. Only for django-tenants' own calls, which know no scope (`set_tenant`)."""
    _bound.set(_schema_binding(schema_name, tenant=tenant, include_public=include_public))


@contextmanager
def tenant_bind(tenant: Tenant) -> Iterator[Tenant]:
    """Do what is inside for this tenant: its schema, its rows, on every database alias. Nests; restores at the end."""
    token = _bound.set(_schema_binding(tenant.schema_name, tenant=tenant))
    try:
        yield tenant
    finally:
        _bound.reset(token)


@contextmanager
def public_bind() -> Iterator[None]:
    """Do what is inside for nobody: the platform's own tables, and no tenant's rows."""
    token = _bound.set(_PUBLIC)
    try:
        yield
    finally:
        _bound.reset(token)


@contextmanager
def schema_bind(schema_name: str) -> Iterator[None]:
    """Do what is inside in this schema alone, without `public` behind it. For migrations of tenant schemas.

    Without `public`, a tenant migration that names a platform table fails instead of quietly using it.
    """
    token = _bound.set(_schema_binding(schema_name, include_public=schema_name == PUBLIC_SCHEMA))
    try:
        yield
    finally:
        _bound.reset(token)


def tenant_current() -> Tenant | None:
    """The tenant bound for this context, or None on the public side."""
    return _bound.get().tenant


def tenant_required() -> Tenant:
    """The tenant bound for this context. Raises TenantNotBound where there is none."""
    tenant = _bound.get().tenant
    if tenant is None:
        raise TenantNotBound(" ".join((TenantNotBound.__doc__ or "").split()))
    return tenant
