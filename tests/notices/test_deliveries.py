"""Notices are queued with what they tell of, signed, sent, tried again, and seen by their own tenant only."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from django.core import mail
from django.db import transaction

from tenants.binding import public_bind, tenant_bind
from tenants.models import Tenant
from tenants.notices.channels import DeliveryFailed, Notice, Target, nonce_make, webhook_secret
from tenants.notices.services import (
    ATTEMPTS_MAX,
    RETRY_MAX,
    Delivery,
    deliveries_expire,
    deliveries_read,
    notices_deliver,
    notices_queue,
    retry_pause,
)
from tests.notices.conftest import Receiver

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _servers(live_db: None, settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE = True
    settings.EMAIL_IS_CONFIGURED = True


def identity(instant: datetime) -> datetime:
    return instant


def dies(**_: object) -> None:
    """Instead of `deliver`: it takes its worker along."""
    raise KeyboardInterrupt


def notice(key: str = "alert:1:fired", *, subject: str = "Too hot") -> Notice:
    return Notice(key, "alert.fired", subject, "It is too hot.", {"rule": "heat"}, NOW)


def queue(tenant: Tenant, *targets: Target, key: str = "alert:1:fired") -> None:
    with tenant_bind(tenant), transaction.atomic():
        notices_queue(tenant_id=tenant.pk, notice=notice(key), targets=targets, now=NOW)


def deliveries(tenant: Tenant) -> list[Delivery]:
    with tenant_bind(tenant):
        return deliveries_read(tenant_id=tenant.pk, prefix="alert:", limit=10)


def test_a_webhook_is_signed_so_that_its_receiver_can_check_it(
    receiver: Receiver, acme: Tenant, globex: Tenant
) -> None:
    nonce = nonce_make()
    queue(acme, Target("webhook", receiver.url, nonce))
    queue(globex, Target("email", "ops@globex.example"))
    assert notices_deliver(clock=lambda: NOW) == 2
    [(headers, content)] = receiver.heard
    told = orjson.loads(content)
    assert told["event"] == headers["x-atlasco-event"] == "alert.fired"
    assert (told["rule"], told["text"], told["at"]) == ("heat", "It is too hot.", "2026-03-01T12:00:00Z")
    assert told["delivery_id"] == headers["x-atlasco-delivery"]
    timestamp, signature = (part.partition("=")[2] for part in headers["x-atlasco-signature"].split(","))
    signed = hmac.new(webhook_secret(nonce=nonce).encode(), f"{timestamp}.".encode() + content, hashlib.sha256)
    assert signature == signed.hexdigest()
    [message] = mail.outbox
    assert (message.to, message.subject) == (["ops@globex.example"], "Too hot")
    assert [found.delivered_at for tenant in (acme, globex) for found in deliveries(tenant)] == [NOW, NOW]
    assert notices_deliver(clock=lambda: NOW) == 0


def test_what_fails_is_tried_again_later_and_given_up_at_last(receiver: Receiver, acme: Tenant, globex: Tenant) -> None:
    receiver.statuses = [500]
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    now = NOW
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert notices_deliver(clock=partial(identity, now)) == 0
        # Not before its time.
        assert notices_deliver(clock=partial(identity, now + timedelta(seconds=9))) == 0
        [found] = deliveries(acme)
        assert (found.attempts, len(receiver.heard)) == (attempt, attempt)
        if found.due_at is not None:
            now = found.due_at
    assert found.failed_at and found.due_at is None and "500" in found.error
    ids = {headers["x-atlasco-delivery"] for headers, _ in receiver.heard}
    assert len(ids) == 1
    assert deliveries(globex) == []


def test_a_receiver_that_comes_back_gets_it(receiver: Receiver, acme: Tenant) -> None:
    receiver.statuses = [503, 200]
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    assert notices_deliver(clock=lambda: NOW) == 0
    assert notices_deliver(clock=lambda: NOW + timedelta(minutes=1)) == 1


def test_a_receiver_that_is_gone_for_good_is_left_alone(receiver: Receiver, acme: Tenant) -> None:
    receiver.statuses = [410]
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    notices_deliver(clock=lambda: NOW)
    assert deliveries(acme)[0].failed_at == NOW


def test_a_redirect_is_not_followed(receiver: Receiver, acme: Tenant) -> None:
    receiver.statuses = [302]
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    notices_deliver(clock=lambda: NOW)
    assert len(receiver.heard) == 1 and "302" in deliveries(acme)[0].error


def test_nothing_goes_to_private_addresses_unless_that_is_allowed(
    receiver: Receiver, acme: Tenant, settings: Any
) -> None:
    settings.WEBHOOKS_TO_PRIVATE = False
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    notices_deliver(clock=lambda: NOW)
    assert receiver.heard == [] and "not a public address" in deliveries(acme)[0].error


def test_the_same_notice_is_queued_once(acme: Tenant) -> None:
    target = Target("email", "ops@acme.example")
    queue(acme, target)
    queue(acme, target)
    queue(acme, target, key="alert:2:fired")
    assert len(deliveries(acme)) == 2


def test_a_worker_that_dies_gives_back_what_it_took(
    receiver: Receiver, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    monkeypatch.setattr("tenants.notices.services.deliver", dies)
    with pytest.raises(KeyboardInterrupt):
        notices_deliver(clock=lambda: NOW)
    monkeypatch.undo()
    assert notices_deliver(clock=lambda: NOW + timedelta(hours=1)) == 1
    assert deliveries(acme)[0].attempts == 2


def test_a_receiver_that_says_a_byte_now_and_then_holds_nobody(
    receiver: Receiver, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be through in six seconds."""
    monkeypatch.setattr("tenants.notices.channels.TIMEOUT_S", 1.0)
    receiver.drip_s = 0.25
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    assert notices_deliver(clock=lambda: NOW) == 0
    [found] = deliveries(acme)
    assert found.error and found.due_at == NOW + retry_pause(1)


def test_what_took_its_worker_along_each_time_is_given_up(
    receiver: Receiver, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(acme, Target("webhook", receiver.url, nonce_make()))
    with monkeypatch.context() as patched:
        patched.setattr("tenants.notices.services.deliver", dies)
        for hours in range(ATTEMPTS_MAX):
            with pytest.raises(KeyboardInterrupt):
                notices_deliver(clock=partial(identity, NOW + timedelta(hours=hours)))
    notices_deliver(clock=lambda: NOW + timedelta(days=1))
    [found] = deliveries(acme)
    assert found.failed_at and found.due_at is None and receiver.heard == []


def test_an_attempt_that_ends_after_a_later_one_changes_nothing(
    receiver: Receiver, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(acme, Target("webhook", receiver.url, nonce_make()))

    def late(**_: object) -> None:
        monkeypatch.undo()
        assert notices_deliver(clock=lambda: NOW + timedelta(hours=1)) == 1
        raise DeliveryFailed("Too late.")

    monkeypatch.setattr("tenants.notices.services.deliver", late)
    assert notices_deliver(clock=lambda: NOW) == 0
    [found] = deliveries(acme)
    assert (found.delivered_at, found.due_at, found.error) == (NOW + timedelta(hours=1), None, "")
    assert len(receiver.heard) == 1


def test_a_backlog_leaves_in_one_go_in_the_order_in_which_it_was_queued(
    receiver: Receiver, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.notices.services.SLICE_S", 30.0)
    for n in range(30):
        queue(acme, Target("webhook", receiver.url, nonce_make()), key=f"alert:{n}")
    queue(globex, Target("email", "ops@globex.example"))
    assert notices_deliver(clock=lambda: NOW) == 31
    ids = [int(headers["x-atlasco-delivery"]) for headers, _ in receiver.heard]
    assert ids == sorted(ids) and len(ids) == 30


def test_what_is_due_to_one_mailbox_at_once_is_one_message(acme: Tenant, globex: Tenant) -> None:
    for n in range(3):
        queue(acme, Target("email", "ops@acme.example"), key=f"alert:{n}")
    queue(acme, Target("email", "boss@acme.example"))
    queue(globex, Target("email", "ops@acme.example"))
    assert notices_deliver(clock=lambda: NOW) == 5
    sent = sorted((message.to[0], message.subject) for message in mail.outbox)
    assert sent == [
        ("boss@acme.example", "Too hot"),
        ("ops@acme.example", "Too hot"),
        ("ops@acme.example", "Too hot, and 2 more"),
    ]
    [digest] = [message for message in mail.outbox if "more" in message.subject]
    assert digest.body == "\n\n".join(["Too hot\nIt is too hot."] * 3)
    assert [(found.delivered_at, found.attempts) for found in deliveries(acme)] == [(NOW, 1)] * 4


def test_no_tenant_sees_or_writes_anothers_notices_nor_the_platforms(acme: Tenant, globex: Tenant) -> None:
    queue(acme, Target("email", "ops@acme.example"))
    with public_bind(), transaction.atomic():
        notices_queue(tenant_id=None, notice=notice("alert:x"), targets=[Target("email", "root@example.com")], now=NOW)
    assert deliveries(globex) == []
    assert [found.address for found in deliveries(acme)] == ["ops@acme.example"]
    with public_bind():
        own = deliveries_read(tenant_id=None, prefix="alert:", limit=10)
        assert [found.address for found in own] == ["root@example.com"]
        assert deliveries_read(tenant_id=acme.pk, prefix="alert:", limit=10) == []
        notices_deliver(clock=lambda: NOW)
        assert deliveries_expire(tenant_id=None, now=NOW + timedelta(days=31)) == 1


def test_pauses_grow_to_an_hour() -> None:
    pauses = [retry_pause(attempts) for attempts in range(1, ATTEMPTS_MAX)]
    assert pauses == sorted(pauses) and pauses[0] < timedelta(minutes=1) and pauses[-1] == RETRY_MAX
