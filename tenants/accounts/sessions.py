"""Sessions: when one was used last, how to end them, and a platform admin's session in a tenant."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare

from atlasco.lib import clock
from atlasco.lib.errors import NotFound
from tenants.actors import Actor, ActorKind, request_ip
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.roles import platform_require, role_require

log = logging.getLogger(__name__)

SEEN_KEY: Final = "seen_at"
# A session is written at most so often, so that idling is noticed without a write at each click.
SEEN_STEP_S: Final = 60
ACTING_KEY: Final = "acting"
ACTING_TIME: Final = timedelta(hours=1)
_PENDING_KEY: Final = "acting_pending"
_PENDING_TIME: Final = timedelta(minutes=1)
_API: Final = "/api/"


class PassUnusable(NotFound):
    """This way in was used already, or is older than a minute. Go back to the platform's pages and enter again."""

    code = "pass_unusable"


def sessions_end(*, tenant: Tenant, member: User) -> int:
    """Log a member out everywhere. Returns how many sessions that were."""
    role_require(Role.ADMIN)
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        sessions = list(UserSession.objects.using(DEFAULT_DB_ALIAS).filter(user=member))
        for session in sessions:
            session.end()
        audit_record(
            action="member.sessions_end", subject=f"member:{member.username}", after={"sessions": len(sessions)}
        )
    return len(sessions)


# --- Acting as a tenant -----------------------------------------------------------------------------------------------


def acting_prepare(*, tenant: Tenant, admin: str, now: datetime) -> str:
    """Prepare a session in the tenant for a platform admin. Returns the pass that opens it, once, within a minute.

    The pass travels in an address from one host to the other; what it opens is a session of that host, with a new key.
    """
    platform_require()
    ticket = secrets.token_urlsafe(32)
    with public_bind():
        # What the admin's own sessions carry, too: another password ends them all.
        auth = User.objects.using(DEFAULT_DB_ALIAS).get(username=admin).get_session_auth_hash()
    with tenant_bind(tenant), transaction.atomic(using=DEFAULT_DB_ALIAS):
        Session.objects.using(DEFAULT_DB_ALIAS).create(
            session_key=_ticket_key(ticket),
            session_data=SessionStore().encode({_PENDING_KEY: {"admin": admin, "auth": auth}}),
            expire_date=now + _PENDING_TIME,
        )
        audit_record(action="tenant.act_as", subject=f"tenant:{tenant.slug}")
    with public_bind():
        audit_record(action="tenant.act_as", subject=f"tenant:{tenant.slug}")
    return ticket


def acting_enter(request: HttpRequest, *, ticket: str, now: datetime) -> None:
    """Make this browser's session one of a platform admin who acts as the tenant. Raises PassUnusable."""
    pending = (
        Session.objects.using(DEFAULT_DB_ALIAS).filter(session_key=_ticket_key(ticket), expire_date__gt=now).first()
    )
    wanted = pending.get_decoded().get(_PENDING_KEY) if pending is not None else None
    # Whoever deletes it was first.
    if pending is None or wanted is None or not Session.objects.filter(pk=pending.pk).delete()[0]:
        raise PassUnusable
    request.session.flush()
    request.session[ACTING_KEY] = {**wanted, "until": (now + ACTING_TIME).timestamp()}
    request.session[SEEN_KEY] = now.timestamp()
    request.session.cycle_key()


def acting_user(request: HttpRequest, *, now: datetime) -> User | None:
    """The platform admin who acts here, as a user with all rights and no row; None where nobody does (any more).

    Asked at each request: a platform admin who is locked out, or has another password by now, is out here, too.
    """
    acting = request.session.get(ACTING_KEY)
    if not isinstance(acting, dict):
        return None
    with public_bind():
        admins = User.objects.using(DEFAULT_DB_ALIAS).filter(username=acting["admin"], is_active=True, role=Role.ADMIN)
        admin = admins.first()
    hashes = () if admin is None else (admin.get_session_auth_hash(), *admin.get_session_auth_fallback_hash())
    is_admin = any(constant_time_compare(known, acting.get("auth", "")) for known in hashes)
    if not is_admin or now.timestamp() >= acting["until"]:
        request.session.flush()
        return None
    user = User(username=acting["admin"], is_staff=True, is_active=True)
    user.role_set(Role.ADMIN)
    user.set_unusable_password()
    user.is_acting = True
    return user


def acting_end(request: HttpRequest, *, tenant: Tenant) -> None:
    """End the session in which a platform admin acts as a tenant."""
    admin = str(request.session.get(ACTING_KEY, {}).get("admin", ""))
    for binding in (tenant_bind(tenant), public_bind()):
        with binding:
            actor = Actor(ActorKind.PLATFORM, admin, Role.ADMIN)
            audit_record(action="tenant.act_as_end", subject=f"tenant:{tenant.slug}", actor=actor)
    request.session.flush()


def _ticket_key(ticket: str) -> str:
    # The key of a session has 32 characters; what is stored does not open anything by itself.
    return hashlib.sha256(ticket.encode()).hexdigest()[:32]


class SessionUseMiddleware:
    """Notes, at most once a minute, that a session is in use, and puts a platform admin in who acts as a tenant.

    A session that is not used for SESSION_COOKIE_AGE has expired: each note renews it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(_API) and request.session.session_key is not None:
            self._note(request, clock.now())
        return self.get_response(request)

    def _note(self, request: HttpRequest, now: datetime) -> None:
        if getattr(request, "tenant", None) is not None and ACTING_KEY in request.session:
            user = acting_user(request, now=now)
            if user is not None:
                request.user = user
        seen = request.session.get(SEEN_KEY)
        if seen is None or now.timestamp() - seen < SEEN_STEP_S:
            return
        sessions = UserSession.objects.using(DEFAULT_DB_ALIAS).filter(session_key=request.session.session_key)
        try:
            sessions.update(last_seen_at=now, ip=request_ip(request) or "0.0.0.0")  # noqa: S104  # As the adapter has it.
        except (OperationalError, InterfaceError) as error:
            # Without the primary, pages that only show something go on: it is noted when it answers again.
            log.warning("The use of a session can't be noted.", extra={"error": str(error)})
            return
        request.session[SEEN_KEY] = now.timestamp()
