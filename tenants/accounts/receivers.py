"""What the libraries tell of, written into the audit log."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_changed, password_reset
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from axes.signals import user_locked_out
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from atlasco.lib import clock
from tenants.accounts.sessions import SEEN_KEY
from tenants.actors import NOBODY, user_actor
from tenants.audit import audit_record
from tenants.binding import tenant_current


def _record(action: str, user: AbstractUser | None, **facts: Any) -> None:
    """On the host's own log: a member's in the tenant's, an admin's in the platform's."""
    if user is None:
        return
    actor = user_actor(user, is_platform=tenant_current() is None)
    audit_record(action=action, subject=_subject(user.get_username()), actor=actor, **facts)


def _subject(name: str) -> str:
    return f"{'admin' if tenant_current() is None else 'member'}:{name}"


@receiver(user_logged_in)
def login_record(request: HttpRequest, user: AbstractUser, **_: Any) -> None:
    request.session[SEEN_KEY] = clock.now().timestamp()
    _record("login.success", user)


@receiver(user_logged_out)
def logout_record(user: AbstractUser | None, **_: Any) -> None:
    _record("login.end", user)


@receiver(user_login_failed)
def login_failed_record(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # While locked out, an attempt is not looked at; the lock itself was recorded.
    if request is None or getattr(request, "axes_locked_out", False):
        return
    name = str(credentials.get("username", ""))[:150]
    audit_record(action="login.failed", subject=_subject(name), actor=NOBODY)


@receiver(user_locked_out)
def login_locked_record(username: str | None = None, request: HttpRequest | None = None, **_: Any) -> None:
    if getattr(request, "axes_failures_since_start", None):  # Not again for each attempt while it lasts.
        audit_record(action="login.locked", subject=_subject((username or "")[:150]), actor=NOBODY)


@receiver(password_changed)
def password_changed_record(user: AbstractUser, **_: Any) -> None:
    _record("password.change", user)


@receiver(password_reset)
def password_reset_record(user: AbstractUser, **_: Any) -> None:
    _record("password.reset", user)


@receiver(authenticator_added)
def factor_added_record(user: AbstractUser, authenticator: Any, **_: Any) -> None:
    _record("second_factor.add", user, after={"kind": str(authenticator.type)})


@receiver(authenticator_removed)
def factor_removed_record(user: AbstractUser, authenticator: Any, **_: Any) -> None:
    _record("second_factor.remove", user, before={"kind": str(authenticator.type)})


@receiver(authenticator_reset)
def factor_reset_record(user: AbstractUser, authenticator: Any, **_: Any) -> None:
    _record("second_factor.reset", user, after={"kind": str(authenticator.type)})
