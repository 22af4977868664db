"""Which tenant answers on a host or has an id. Read on every request, so remembered in the process for a moment.

A change made by this process is seen by it at once (`directory_forget`), by others after TTL_S. That is how long a
suspended tenant may still be served elsewhere.

# Note [Reading without the primary]
A replica can answer while the primary is down, but only if the tenant and the token can be found there too. So these
look-ups try the primary first, because a replica may not know what was created a moment ago, and then each replica.
A primary that did not answer is left alone for a moment, or each request would wait for its timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError

from atlasco.lib.errors import Unavailable
from atlasco.lib.rest import Rest
from tenants.binding import public_bind
from tenants.models import Tenant

log = logging.getLogger(__name__)

TTL_S = 2.0
PRIMARY_REST_S = 2.0
ENTRIES_MAX = 10_000

T = TypeVar("T")


class DirectoryUnavailable(Unavailable):
    """No database answers, so it can't be said who is asking."""

    code = "directory_unavailable"


class _Directory:
    """What was found lately. Absent answers are not kept: made-up hosts would fill the memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str | int, tuple[float, Tenant]] = {}

    def get(self, key: str | int) -> Tenant | None:
        found_at, tenant = self._found.get(key, (0.0, None))
        return tenant if tenant is not None and time.monotonic() - found_at < TTL_S else None

    def put(self, key: str | int, tenant: Tenant) -> None:
        with self._lock:
            if len(self._found) >= ENTRIES_MAX:
                self._found.clear()
            self._found[key] = (time.monotonic(), tenant)

    def forget(self) -> None:
        with self._lock:
            self._found.clear()


_directory = _Directory()
_primary = Rest(PRIMARY_REST_S)


def read_anywhere(read: Callable[[str], T]) -> T:
    """Call `read(alias)` with the primary, then with each replica, until one answers. See Note [Reading without …].

    Raises DirectoryUnavailable where none does.
    """
    aliases = [DEFAULT_DB_ALIAS, *settings.REPLICA_ALIASES]
    if _primary.is_on() and len(aliases) > 1:
        aliases.remove(DEFAULT_DB_ALIAS)
    for alias in aliases:
        try:
            return read(alias)
        except (OperationalError, InterfaceError) as error:
            if alias != DEFAULT_DB_ALIAS or _primary.begin():
                log.warning("A database did not answer a look-up.", extra={"alias": alias, "error": str(error)})
    raise DirectoryUnavailable


def primary_rests() -> bool:
    """True while a failed primary is left alone; then nothing optional is written either."""
    return _primary.is_on()


def tenant_by_host(host: str) -> Tenant | None:
    """The tenant that answers on this host name (lower case, no port), whatever its status; None where nobody does.

    The object is shared between threads: read it, never change it.
    """
    return _find(host, lambda alias: Tenant.objects.using(alias).filter(domains__domain=host).first())


def tenant_by_id(tenant_id: int) -> Tenant | None:
    """The tenant with this id, whatever its status; None where there is none. Shared between threads, too."""
    return _find(tenant_id, lambda alias: Tenant.objects.using(alias).filter(pk=tenant_id).first())


def _find(key: str | int, read: Callable[[str], Tenant | None]) -> Tenant | None:
    tenant = _directory.get(key)
    if tenant is None:
        with public_bind():
            tenant = read_anywhere(read)
        if tenant is not None:
            _directory.put(key, tenant)
    return tenant


def directory_forget() -> None:
    """Forget every tenant, because one has changed. Call it after the commit."""
    _directory.forget()
