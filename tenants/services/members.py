"""Members of tenants and admins of the platform."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS, transaction
from django.urls import reverse

from atlasco.lib.errors import Conflict, FieldError, Invalid
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.errors import constraint_problems
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.roles import role_require
from tenants.selectors import MemberUnknown


class MemberExists(Conflict):
    """A member of that name exists."""

    code = "member_exists"


class MemberInvalid(Invalid):
    """A member can't be made like that."""

    code = "member_invalid"


class LastAdmin(Conflict):
    """This is the tenant's last admin: without one nobody could manage people and tokens. Make another admin first."""

    code = "last_admin"


def member_create(
    *, tenant: Tenant, username: str, password: str, email: str = "", role: str = Role.VIEWER, now: datetime
) -> User:
    """Create a member who can log in on the tenant's host.

    Raises MemberInvalid, MemberExists, RoleMissing.
    """
    role_require(Role.ADMIN)
    with tenant_bind(tenant):
        user = User(username=username, email=email, is_staff=True, date_joined=now)
        user.role_set(role)
        _password_set(user, password)
        try:
            user.full_clean(exclude=["password"], validate_unique=False)
        except ValidationError as error:
            raise MemberInvalid(errors=_field_errors(error)) from error
        # A log-in does not tell upper from lower case.
        if User.objects.using(DEFAULT_DB_ALIAS).filter(username__iexact=username).exists():
            raise MemberExists
        taken = constraint_problems({"members_user_username_key": MemberExists})
        with taken, transaction.atomic(using=DEFAULT_DB_ALIAS):
            user.save(using=DEFAULT_DB_ALIAS, force_insert=True)
            audit_record(action="member.create", subject=f"member:{username}", after=_audited(user))
    return user


def member_change(*, tenant: Tenant, member_id: int, role: str, email: str, active: bool) -> User:
    """Change a member. One who is deactivated is logged out everywhere at once; what is theirs stays.

    Raises MemberUnknown, MemberInvalid, LastAdmin, RoleMissing.
    """
    role_require(Role.ADMIN)
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        # All admins are locked: two that demote each other at once would leave none.
        admins = list(User.objects.using(DEFAULT_DB_ALIAS).select_for_update().filter(role=Role.ADMIN, is_active=True))
        user = User.objects.using(DEFAULT_DB_ALIAS).select_for_update().filter(pk=member_id).first()
        if user is None:
            raise MemberUnknown
        before = _audited(user)
        user.role_set(role)
        user.email, user.is_active = email, active
        try:
            user.full_clean(exclude=["password"], validate_unique=False)
        except ValidationError as error:
            raise MemberInvalid(errors=_field_errors(error)) from error
        if [admin.pk for admin in admins] == [user.pk] and not (active and role == Role.ADMIN):
            raise LastAdmin
        user.save(using=DEFAULT_DB_ALIAS, update_fields=["role", "is_superuser", "email", "is_active"])
        audit_record(action="member.change", subject=f"member:{user.username}", before=before, after=_audited(user))
    return user


def member_link_make(*, tenant: Tenant, member_id: int) -> tuple[User, str]:
    """Make a link with which a member chooses a new password, once, within an hour. Returns its path on the host.

    Nothing is stored: the link is signed, and what it is signed over changes with the password.
    Raises MemberUnknown, RoleMissing.
    """
    role_require(Role.ADMIN)
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        user = _member(member_id)
        key = default_token_generator.make_token(user)
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})
        audit_record(action="password.link", subject=f"member:{user.username}")
    return user, path


def member_factor_reset(*, tenant: Tenant, member_id: int) -> User:
    """Remove a member's second factor and recovery codes, for one who lost them. Raises MemberUnknown, RoleMissing."""
    role_require(Role.ADMIN)
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        user = _member(member_id)
        removed, _ = Authenticator.objects.using(DEFAULT_DB_ALIAS).filter(user=user).delete()
        if removed:
            audit_record(action="second_factor.reset", subject=f"member:{user.username}")
    return user


def _member(member_id: int) -> User:
    user = User.objects.using(DEFAULT_DB_ALIAS).filter(pk=member_id).first()
    if user is None:
        raise MemberUnknown
    return user


def platform_admin_ensure(*, username: str, password: str, now: datetime) -> bool:
    """Make sure that this platform admin exists and has this password. Returns True where the admin is new.

    Raises MemberInvalid where the password is too weak.
    """
    with public_bind(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        users = User.objects.using(DEFAULT_DB_ALIAS).select_for_update()
        user = users.filter(username=username).first()
        created = user is None
        if user is None:
            user = User(username=username, date_joined=now)
        if not created and user.check_password(password) and user.is_superuser and user.is_staff and user.is_active:
            return False
        _password_set(user, password)
        user.is_staff = user.is_active = True
        user.role_set(Role.ADMIN)
        user.save(using=DEFAULT_DB_ALIAS)
        audit_record(action="admin.create" if created else "admin.password_set", subject=f"admin:{username}")
    return created


def platform_admin_factor_reset(*, username: str) -> bool:
    """Remove a platform admin's second factor and recovery codes, for one who lost them. False where there was none.

    Raises MemberUnknown.
    """
    with public_bind(), transaction.atomic(using=DEFAULT_DB_ALIAS):
        user = User.objects.using(DEFAULT_DB_ALIAS).filter(username=username).first()
        if user is None:
            raise MemberUnknown(f"There is no platform admin {username!r}.")
        removed, _ = Authenticator.objects.using(DEFAULT_DB_ALIAS).filter(user=user).delete()
        if removed:
            audit_record(action="second_factor.reset", subject=f"admin:{username}")
    return bool(removed)


def _password_set(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        errors = [FieldError("password", "weak_password", message) for message in error.messages]
        raise MemberInvalid(" ".join(error.messages), errors=errors) from error
    user.set_password(password)


def _audited(user: User) -> dict[str, Any]:
    return {"role": user.role, "email": user.email, "active": user.is_active}


def _field_errors(error: ValidationError) -> list[FieldError]:
    return [
        FieldError(path, "invalid", message) for path, messages in error.message_dict.items() for message in messages
    ]
