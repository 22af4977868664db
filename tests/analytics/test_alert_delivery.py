"""From a value that is written to what arrives: a webhook and an e-mail on real sockets, tried again until they do."""

from __future__ import annotations

import hashlib
import hmac
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

import orjson
import psycopg
import pytest

from analytics.alerts import services
from analytics.alerts.applier import AlertApplier
from analytics.alerts.services import rule_parse
from atlasco.lib import clock
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tenants.notices.services import RETRY_MAX, notices_deliver
from tests.analytics.alerting import settle
from tests.analytics.feeding import feed_running, patch, replication_dsn_of, slot_name, write
from tests.cluster import Cluster
from tests.notices.conftest import Receiver, receiver

__all__ = ["receiver"]


@dataclass
class Mailbox:
    """A mail server that takes everything; where busy is left, it first says that it can't now."""

    port: int = 0
    busy: int = 0
    arrived: list[Message] = field(default_factory=list)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 mailbox")
            while line := self.rfile.readline():
                match line[:4].upper():
                    case b"MAIL" if box.busy:
                        box.busy -= 1
                        self.say("451 later")
                    case b"DATA":
                        self.say("354 go on")
                        content = b"".join(iter(self.rfile.readline, b".\r\n"))
                        box.arrived.append(message_from_bytes(content, policy=default))
                        self.say("250 taken")
                    case b"QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield box
        server.shutdown()


@pytest.fixture
def dsn(stack: Cluster, owner_db: psycopg.Connection[Any], settings: Any, mailbox: Mailbox) -> str:
    settings.WEBHOOKS_TO_PRIVATE = settings.EMAIL_IS_CONFIGURED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
    owner_db.execute("DELETE FROM alert_position")
    return replication_dsn_of(stack)


def test_what_fires_arrives_signed_and_by_mail_though_both_fail_at_first(
    dsn: str, receiver: Receiver, mailbox: Mailbox, acme: Tenant, globex: Tenant
) -> None:
    receiver.statuses, mailbox.busy = [500, 204], 1
    body = {"name": "Too hot", "attribute": "heat", "operator": "gt", "threshold": 30}
    with feed_running(dsn, [AlertApplier(dsn=dsn)], slot=slot_name()) as feed:
        with tenant_bind(acme):
            rule = rule_parse({**body, "webhook_url": receiver.url, "emails": ["ops@acme.example"]})
            _, secret = services.rule_create(tenant_id=acme.pk, rule=rule, now=clock.now())
        with tenant_bind(globex):
            services.rule_create(tenant_id=globex.pk, rule=rule_parse({**body, "threshold": 99}), now=clock.now())
        row = write(acme, "oven", heat=31.5)
        write(globex, "theirs", heat=31.5)
        settle(feed, dsn)
        notices_deliver(clock=clock.now)
        assert (len(receiver.heard), mailbox.arrived) == (1, [])
        later = clock.now() + RETRY_MAX
        notices_deliver(clock=lambda: later)
        patch(acme, row.entity_id, heat=1)
        settle(feed, dsn)
        notices_deliver(clock=lambda: later)
    assert [message["subject"] for message in mailbox.arrived] == ["Too hot: oven", "Too hot: oven, cleared"]
    assert {message["to"] for message in mailbox.arrived} == {"ops@acme.example"}
    assert "heat of thing oven was 31.5" in str(mailbox.arrived[0].get_payload())
    failed, fired, cleared = receiver.heard
    # The same delivery again, so that its receiver can tell.
    assert failed[0]["x-atlasco-delivery"] == fired[0]["x-atlasco-delivery"] != cleared[0]["x-atlasco-delivery"]
    for headers, content in receiver.heard:
        seconds, signature = (part.partition("=")[2] for part in headers["x-atlasco-signature"].split(","))
        signed = hmac.new(secret.encode(), f"{seconds}.".encode() + content, hashlib.sha256)
        assert hmac.compare_digest(signature, signed.hexdigest())
    assert [orjson.loads(content)["event"] for _, content in receiver.heard[1:]] == ["alert.fired", "alert.cleared"]
    assert orjson.loads(fired[1])["entity"]["external_id"] == "oven"
