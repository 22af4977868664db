"""The paths of the pages about tenants, below /admin/."""

from __future__ import annotations

from tenants.admin.audit import AuditExport, AuditLog
from tenants.admin.management import ActAs, Job, JobFile, TenantDelete, TenantExport, TenantQuotas, TenantRename
from tenants.admin.members import (
    MemberChange,
    MemberCreate,
    MemberFactorReset,
    MemberLink,
    MemberList,
    MemberSessionsEnd,
)
from tenants.admin.routes import Route
from tenants.admin.settings import TenantSettings
from tenants.admin.tenants import TenantCreate, TenantDetail, TenantList, TenantResume, TenantSuspend
from tenants.admin.tokens import TokenCreate, TokenList, TokenRevoke

# `-` can't start a slug, so no tenant's path hides these.
platform_routes = (
    Route("tenants/", TenantList, "tenants"),
    Route("tenants/-/new/", TenantCreate, "tenant_new"),
    Route("tenants/-/jobs/<int:job_id>/", Job, "job"),
    Route("tenants/-/jobs/<int:job_id>/download/", JobFile, "job_file"),
)
# Each is twice on paths: for the tenant's own host, and below tenants/SLUG/ for the public one.
tenant_routes = (
    Route("", TenantDetail, "detail", platform_only=True),
    Route("suspend/", TenantSuspend, "suspend", platform_only=True),
    Route("resume/", TenantResume, "resume", platform_only=True),
    Route("rename/", TenantRename, "rename", platform_only=True),
    Route("quotas/", TenantQuotas, "quotas", platform_only=True),
    Route("export/", TenantExport, "export", platform_only=True),
    Route("delete/", TenantDelete, "delete", platform_only=True),
    Route("act/", ActAs, "act_as", platform_only=True),
    Route("tokens/", TokenList, "tokens"),
    Route("tokens/new/", TokenCreate, "token_new"),
    Route("tokens/<int:token_id>/revoke/", TokenRevoke, "token_revoke"),
    Route("members/", MemberList, "members"),
    Route("members/new/", MemberCreate, "member_new"),
    Route("members/<int:member_id>/", MemberChange, "member"),
    Route("members/<int:member_id>/link/", MemberLink, "member_link"),
    Route("members/<int:member_id>/factor/", MemberFactorReset, "member_factor"),
    Route("members/<int:member_id>/sessions/", MemberSessionsEnd, "member_sessions"),
    Route("settings/", TenantSettings, "settings"),
    Route("audit/", AuditLog, "audit"),
    Route("audit/export/", AuditExport, "audit_export"),
)
