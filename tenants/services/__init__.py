"""Writing tenants and what is theirs. Every function says its own clock and binds what it needs."""

from tenants.services.members import (
    LastAdmin,
    MemberExists,
    MemberInvalid,
    member_change,
    member_create,
    platform_admin_ensure,
)
from tenants.services.tenants import (
    ConfirmationMismatch,
    HostTaken,
    TenantBusy,
    TenantExists,
    TenantInvalid,
    TenantNotEmpty,
    tenant_contents,
    tenant_create,
    tenant_delete,
    tenant_export,
    tenant_host,
    tenant_rename,
    tenant_resume,
    tenant_suspend,
)
from tenants.services.tokens import TokenInvalid, token_create, token_revoke, token_touch

__all__ = [
    "ConfirmationMismatch",
    "HostTaken",
    "LastAdmin",
    "MemberExists",
    "MemberInvalid",
    "TenantBusy",
    "TenantExists",
    "TenantInvalid",
    "TenantNotEmpty",
    "TokenInvalid",
    "member_change",
    "member_create",
    "platform_admin_ensure",
    "tenant_contents",
    "tenant_create",
    "tenant_delete",
    "tenant_export",
    "tenant_host",
    "tenant_rename",
    "tenant_resume",
    "tenant_suspend",
    "token_create",
    "token_revoke",
    "token_touch",
]
