"""Who is doing this, and from where: for the audit log and for roles.

Doors say it once, by `origin_bind`: the middleware for requests, `TenantsCommand` for commands, the worker for tasks
(a task remembers who asked for it). Below a door nobody has to pass it on.
"""

from __future__ import annotations

import getpass
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest

from atlasco.lib.request_id import request_id_var
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import ApiToken, Role


class ActorKind(StrEnum):
    MEMBER = "member"
    PLATFORM = "platform admin"
    TOKEN = "token"  # noqa: S105  # A word for people, no secret.
    SYSTEM = "system"
    NOBODY = "nobody"  # Asked for a page without having logged in.


class Via(StrEnum):
    WEB = "web"
    API = "API"
    COMMAND = "command"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever does something. role: of a person; None for what is none."""

    kind: ActorKind
    name: str
    role: str | None = None

    @property
    def is_person(self) -> bool:
        return self.kind not in {ActorKind.TOKEN, ActorKind.SYSTEM}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something comes from. who: asked only when somebody wants to know, since it may cost a query."""

    via: Via
    who: Callable[[], Actor]
    ip: str | None = None
    request_id: str = ""


SYSTEM: Final = Actor(ActorKind.SYSTEM, "atlasco")
NOBODY: Final = Actor(ActorKind.NOBODY, "")
_BY_ITSELF: Final = Origin(Via.COMMAND, lambda: SYSTEM)
_origin: ContextVar[Origin] = ContextVar("origin", default=_BY_ITSELF)


def origin_current() -> Origin:
    """Where what is being done comes from; the system itself where no door said it."""
    return _origin.get()


def actor_current() -> Actor:
    """Who is doing what is being done."""
    return _origin.get().who()


@contextmanager
def origin_bind(origin: Origin) -> Iterator[None]:
    """Do what is inside in this one's name."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def origin_of_request(request: HttpRequest) -> Origin:
    """The origin of a request. The user is looked up when first needed, in the schema of the request's host."""
    tenant = getattr(request, "tenant", None)

    def who() -> Actor:
        token = getattr(request, "auth", None)
        if isinstance(token, ApiToken):
            return Actor(ActorKind.TOKEN, token.name)
        binding: AbstractContextManager[object] = public_bind() if tenant is None else tenant_bind(tenant)
        with binding:
            user = getattr(request, "user", None)
            if not (isinstance(user, AbstractUser) and user.is_authenticated):
                return NOBODY
            return user_actor(user, is_platform=tenant is None or bool(getattr(user, "is_acting", False)))

    via = Via.API if request.path_info.startswith("/api/") else Via.WEB
    return Origin(via, who, ip=request_ip(request), request_id=request_id_var.get())


def user_actor(user: AbstractUser, *, is_platform: bool) -> Actor:
    """The actor that a user is. is_platform: an admin of the platform, on its own host or acting as a tenant."""
    if is_platform:
        return Actor(ActorKind.PLATFORM, user.get_username(), Role.ADMIN.value)
    return Actor(ActorKind.MEMBER, user.get_username(), str(getattr(user, "role", Role.VIEWER)))


def origin_of_command() -> Origin:
    """The origin of a command: whoever typed it on this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user may have a number and no name.
        name = SYSTEM.name
    actor = Actor(ActorKind.SYSTEM, name)
    return Origin(Via.COMMAND, lambda: actor)


def origin_dump() -> dict[str, Any]:
    """What a task has to know of the origin of the request that starts it. JSON-ready."""
    origin = _origin.get()
    actor = origin.who()
    return {"kind": actor.kind.value, "name": actor.name, "ip": origin.ip, "request_id": origin.request_id}


def origin_load(dumped: Mapping[str, Any] | None) -> Origin:
    """The origin of a task, from what `origin_dump` said where it was started."""
    facts = dumped or {}
    actor = Actor(ActorKind(facts.get("kind", ActorKind.SYSTEM)), str(facts.get("name", SYSTEM.name)), Role.ADMIN.value)
    return Origin(Via.TASK, lambda: actor, ip=facts.get("ip"), request_id=str(facts.get("request_id", "")))


def request_ip(request: HttpRequest) -> str | None:
    """The address of the client. Behind TLS it is what our own proxy wrote last; what stands before it is hearsay."""
    address = request.META.get("REMOTE_ADDR") or ""
    if settings.BEHIND_TLS:
        address = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or address
    address = address.strip("[]").partition("%")[0]
    return address if _is_address(address) else None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
