"""The tables of one tenant's schema. No column names the tenant: the schema does."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Role(models.TextChoices):
    """What a member may do in its tenant; each includes the ones before it. `tenants.roles` enforces it."""

    VIEWER = "viewer"  # Looks at everything but people and tokens.
    EDITOR = "editor"  # Changes data.
    ADMIN = "admin"  # People, tokens, settings.


class User(AbstractUser):
    """A member of a tenant, or in `public` an admin of the platform.

    is_superuser says the same as the role admin, for what of Django asks it; a constraint holds them together.
    """

    # True on one that is not a row here: a platform admin who acts as this tenant (`tenants.accounts.sessions`).
    is_acting = False

    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(
                name="user_role_known", condition=Q(role="viewer") | Q(role="editor") | Q(role="admin")
            ),
            models.CheckConstraint(
                name="user_admin_is_superuser",
                condition=Q(is_superuser=True, role="admin") | Q(is_superuser=False) & ~Q(role="admin"),
            ),
        ]

    def role_set(self, role: str) -> None:
        """Give the user a role, and what of Django goes with it. Save afterwards."""
        self.role = role
        self.is_superuser = role == Role.ADMIN


class ApiToken(models.Model):
    """The right to call the API for this tenant. The token itself is never stored, only its digest.

    prefix: the first characters of the secret, to find the row by and to tell tokens apart in a list.
    digest: SHA-256 of the whole token, in hex. A plain hash will do: the secret has 256 random bits.
    """

    class Scope(models.TextChoices):
        READ = "read"
        WRITE = "write"

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, editable=False, db_index=True)
    digest = models.CharField(max_length=64, editable=False, unique=True)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope.choices))
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = "API token"
        constraints = [
            models.CheckConstraint(
                name="apitoken_scopes_known",
                condition=Q(scopes__contained_by=["read", "write"]) & Q(scopes__len__gt=0),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def is_usable(self, *, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @staticmethod
    def usable_at(now: datetime) -> Q:
        """`is_usable` as a condition of a query."""
        return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


class SavedSearch(models.Model):
    """A search a member wants to run again. query: the body of `POST entities/search/`; columns: of the table.

    owner: None where an admin of the platform keeps it, who is not a member here but has an owner_name.
    is_default: it opens where its owner, or for a shared one anybody without a default of their own, chooses its type.
    """

    name = models.CharField(max_length=100)
    query = models.JSONField(default=dict)
    columns = models.JSONField(default=list)
    owner = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="saved_searches")
    owner_name = models.CharField(max_length=150, default="")
    is_shared = models.BooleanField(default=False)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "id"]
        verbose_name_plural = "saved searches"
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="savedsearch_name_unique", nulls_distinct=False),
            # One that belongs to no member would be seen by nobody.
            models.CheckConstraint(
                name="savedsearch_owned_or_shared", condition=Q(owner__isnull=False) | Q(is_shared=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name
