"""The platform's tables about tenants. They live in `public`; what is private to a tenant is in `tenants.members`."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Concat
from django_tenants.models import DomainMixin, TenantMixin

# A DNS label, because the slug is the first part of the tenant's host name.
SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z"
# At least two labels, lower case.
HOST_PATTERN = r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\Z"


class Tenant(TenantMixin):  # type: ignore[misc]  # django-tenants carries no types
    """One customer. Its primary key is the `tenant_id` of every shared table, and is never used again.

    The schema is named after the key, so that a rename of the slug moves nothing.
    Rows are made by `services.tenant_create` and removed by `services.tenant_delete`, never by `save()` and `delete()`
    alone: a tenant without its schema, or a schema without its tenant, is of no use.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"  # Data kept, API 403.
        DELETING = "deleting"  # On the way out; only `tenant_delete` touches it.

    class Placement(models.TextChoices):
        SHARED = "shared"  # Rows beside other tenants', in the leaves of its hash bucket.
        DEDICATED = "dedicated"  # Partitions of its own.

    auto_create_schema = False  # Schemas come from `tenant_schema_create()`, in one transaction with the row.
    auto_drop_schema = False

    id = models.AutoField(primary_key=True)
    slug = models.CharField(
        max_length=40,
        validators=[RegexValidator(SLUG_PATTERN, "Lower-case letters, digits and hyphens; no hyphen at either end.")],
    )
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    placement = models.CharField(max_length=10, choices=Placement.choices, default=Placement.SHARED)
    schema_version = models.TextField(default="", editable=False, help_text="Fingerprint of what its schema holds.")
    created_at = models.DateTimeField()
    status_changed_at = models.DateTimeField()
    mfa_required = models.BooleanField(default=False)
    # None means no limit. `tenants.quotas` enforces them; that of names is enforced where names come into being.
    quota_entities = models.PositiveBigIntegerField(null=True, blank=True)
    quota_values = models.PositiveBigIntegerField(null=True, blank=True)
    quota_attributes = models.PositiveIntegerField(null=True, blank=True)
    quota_requests_per_s = models.PositiveIntegerField(null=True, blank=True)
    # What it has settled of freshness; its owner is `freshness.defaults`.
    freshness = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["slug"]
        # The platform's list is sorted by these, also where there are 100,000.
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="tenant_newest"),
            models.Index(fields=["name", "id"], name="tenant_by_name"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="tenant_slug_unique"),
            # The functions that create and drop schemas rely on this: a row can't point at another tenant's schema.
            models.CheckConstraint(
                name="tenant_schema_named_by_id",
                condition=Q(schema_name=Concat(Value("tenant_"), Cast(F("id"), models.TextField()))),
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def is_active(self) -> bool:
        return bool(self.status == self.Status.ACTIVE)


class Domain(DomainMixin):  # type: ignore[misc]  # django-tenants carries no types
    """A host name that belongs to a tenant. The primary one is SLUG.BASE_DOMAIN and follows a rename."""

    class Meta:
        ordering = ["domain"]
        constraints = [
            models.UniqueConstraint(fields=["tenant"], condition=Q(is_primary=True), name="domain_one_primary")
        ]

    def __str__(self) -> str:
        return str(self.domain)


class AuditEntry(models.Model):
    """Something that somebody did. `sql/0004_audit_log.sql` makes the table; rows are only ever added to it.

    tenant_id: whose log it stands in; 0 is the platform's own. actor_kind, via: see `tenants.actors`.
    action: `noun.verb`; subject: `noun:name`; before, after: what changed, nothing else.
    """

    audit_id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    tenant_id = models.IntegerField()
    actor_kind = models.CharField(max_length=20)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    subject = models.TextField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    via = models.CharField(max_length=10)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64)

    class Meta:
        managed = False
        db_table = "audit_log"
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class TenantJob(models.Model):
    """Something long that is done with a whole tenant in the background: an export to download, a deletion.

    tenant_id, slug: of the tenant as it was; it may be gone. done, total: records, for the progress bar.
    report: what was written or removed, by kind.
    """

    class Kind(models.TextChoices):
        EXPORT = "export"
        DELETE = "delete"

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    tenant_id = models.IntegerField()
    slug = models.CharField(max_length=40)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    report = models.JSONField(default=dict)
    file_path = models.TextField(default="")
    file_bytes = models.BigIntegerField(default=0)
    detail = models.TextField(default="")

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["tenant_id", "-created_at"], name="tenant_job_newest"),
            models.Index(fields=["status", "-created_at"], name="tenant_job_status"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.slug}"

    @property
    def is_over(self) -> bool:
        return self.status in {self.Status.DONE, self.Status.FAILED}
