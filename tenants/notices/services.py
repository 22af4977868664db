"""Queueing notices and delivering what is due. See Note [How a notice leaves]."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from django.db import DEFAULT_DB_ALIAS, connections

from atlasco.lib.sql import sql_blocks
from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant
from tenants.notices.channels import DeliveryFailed, Kind, Notice, Target, deliver
from tenants.stores import TenantStore, rows_counter, rows_eraser, store_register

log = logging.getLogger(__name__)

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")
# 10 s, 20 s, 40 s, … at most an hour: twelve attempts reach over three and a half hours.
RETRY_FIRST: Final = timedelta(seconds=10)
RETRY_MAX: Final = timedelta(hours=1)
ATTEMPTS_MAX: Final = 12
KEPT: Final = timedelta(days=30)
# Longer than one delivery can take: each is taken by itself.
_LEASE: Final = timedelta(minutes=2)
# More notices in one message nobody reads.
_MAIL_MAX: Final = 50
# After so long the next tenant comes, and after so long the worker does something else.
SLICE_S: Final = 3.0
ROUND_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice to one address, and what became of it. due_at: of the next attempt, None where there is none."""

    delivery_id: int
    kind: Kind
    address: str
    key: str
    event: str
    queued_at: datetime
    attempts: int
    due_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    error: str


def notices_queue(*, tenant_id: int | None, notice: Notice, targets: Iterable[Target], now: datetime) -> None:
    """Queue a notice for each address, in the caller's transaction. tenant_id: the bound tenant; None: the platform's.

    A notice whose key was queued for an address before is not queued for it again.
    """
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        for values in queue_values(tenant_id=tenant_id, notice=notice, targets=targets, now=now):
            cursor.execute(SQL["notice_queue"], values)


def queue_values(
    *, tenant_id: int | None, notice: Notice, targets: Iterable[Target], now: datetime
) -> list[dict[str, Any]]:
    """What `notice_queue` binds, for callers with a connection of their own."""
    return [
        {
            "tenant_id": tenant_id,
            "kind": target.kind,
            "address": target.address,
            "nonce": target.nonce,
            "key": notice.key,
            "event": notice.event,
            "subject": notice.subject,
            "body": notice.body,
            "facts": orjson.dumps(dict(notice.facts)).decode(),
            "happened_at": notice.happened_at,
            "now": now,
        }
        for target in targets
    ]


def notices_deliver(*, clock: Callable[[], datetime]) -> int:
    """Send what is due, the platform's own and each tenant's. Returns how many notices arrived.

    Safe to run beside itself: what one has taken, another does not. What is left when its time is up comes next time.
    """
    until_s = time.monotonic() + ROUND_S
    with public_bind(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["tenants_due"], {"now": clock()})
        due = [row[0] for row in cursor.fetchall()]
        tenants = {
            tenant.pk: tenant for tenant in Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk__in=filter(None, due))
        }
    # In another order each time: where time is up before all had their turn, those behind are not always the same.
    random.shuffle(due)
    arrived = 0
    for tenant_id in due:
        left_s = min(SLICE_S, until_s - time.monotonic())
        if left_s <= 0:
            break
        if tenant_id is None:
            with public_bind():
                arrived += _deliver_of(None, clock, left_s)
        elif tenant_id in tenants:
            with tenant_bind(tenants[tenant_id]):
                arrived += _deliver_of(tenant_id, clock, left_s)
    return arrived


def _deliver_of(tenant_id: int | None, clock: Callable[[], datetime], slice_s: float) -> int:
    """What of a tenant's fits into its time, so that one with many dead addresses holds nobody up for long."""
    until_s = time.monotonic() + slice_s
    arrived = 0
    while time.monotonic() < until_s:
        now = clock()
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(SQL["delivery_claim"], {"tenant_id": tenant_id, "now": now, "until": now + _LEASE})
            claimed = cursor.fetchone()
            if claimed is None:
                break
            together = [claimed, *_joined(cursor, tenant_id, claimed, now)]
        delivery_id, kind, address, nonce, *_, attempts = claimed
        trouble: DeliveryFailed | None = None
        try:
            _attempts_check(attempts)
            target, notice = Target(kind, address, nonce), _notice_of(together)
            deliver(target=target, notice=notice, delivery_id=delivery_id, now=clock())
        except DeliveryFailed as error:
            trouble = error
            log.warning("A notice did not arrive.", extra={"delivery": delivery_id, "reason": str(error)})
        else:
            arrived += len(together)
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            for delivery_id, *_, attempts in together:
                values = {"delivery_id": delivery_id, "attempts": attempts, **_outcome(trouble, attempts, clock())}
                cursor.execute(SQL["delivery_finish"], values)
    return arrived


def _joined(cursor: Any, tenant_id: int | None, claimed: tuple[Any, ...], now: datetime) -> list[tuple[Any, ...]]:
    """What is due to the same mailbox: a person gets one message of all."""
    _, kind, address, *_, attempts = claimed
    if kind != "email" or attempts > ATTEMPTS_MAX:
        return []
    values = {"tenant_id": tenant_id, "address": address, "now": now, "until": now + _LEASE, "limit": _MAIL_MAX - 1}
    cursor.execute(SQL["deliveries_join"], values)
    return sorted(cursor.fetchall())


def _notice_of(together: list[tuple[Any, ...]]) -> Notice:
    _, _, _, _, event, subject, body, facts, happened_at, _ = together[0]
    if len(together) > 1:
        body = "\n\n".join(f"{row[5]}\n{row[6]}" for row in together)
        subject = f"{subject}, and {len(together) - 1:,} more"
    return Notice("", event, subject, body, orjson.loads(facts), happened_at)


def _outcome(trouble: DeliveryFailed | None, attempts: int, now: datetime) -> dict[str, Any]:
    """What `delivery_finish` notes of an attempt."""
    outcome: dict[str, Any] = {"due_at": None, "delivered_at": None, "failed_at": None, "error": ""}
    if trouble is None:
        return {**outcome, "delivered_at": now}
    outcome["error"] = str(trouble)
    if trouble.is_final or attempts >= ATTEMPTS_MAX:
        return {**outcome, "failed_at": now}
    return {**outcome, "due_at": now + retry_pause(attempts)}


def _attempts_check(attempts: int) -> None:
    if attempts > ATTEMPTS_MAX:  # Each took its worker along, so nobody has given it up.
        raise DeliveryFailed("No attempt came to an end.", is_final=True)


def retry_pause(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts."""
    return min(RETRY_FIRST * (1 << (attempts - 1)), RETRY_MAX)


def deliveries_read(*, tenant_id: int | None, prefix: str, limit: int) -> list[Delivery]:
    """The newest deliveries of the bound tenant whose key begins so."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["deliveries_read"], {"tenant_id": tenant_id, "prefix": prefix, "limit": limit})
        return [Delivery(*row) for row in cursor.fetchall()]


def deliveries_expire(*, tenant_id: int | None, now: datetime) -> int:
    """Forget what ended long ago. Returns how many."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["deliveries_expire"], {"tenant_id": tenant_id, "before": now - KEPT})
        return int(cursor.rowcount)


# --- What is kept of a tenant -----------------------------------------------------------------------------------------
def stores_register() -> None:
    """Make the queue known. Early: what fills it is erased first, and a round is repeated where it got more."""
    table = "notice_deliveries"
    store_register(TenantStore(name=table, count=rows_counter(table), erase=rows_eraser(table), order=150))
