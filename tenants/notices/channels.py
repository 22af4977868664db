"""The ways out, a signed webhook and e-mail. Each delivers, or raises DeliveryFailed with the reason in words."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import secrets
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.mail import EmailMessage

from atlasco.lib.clock import iso
from tenants.notices.addresses import InvalidWebhook, connection_opened

Kind: TypeAlias = Literal["webhook", "email"]

# Of a whole delivery to a webhook, whatever it does meanwhile.
TIMEOUT_S: Final = 10.0
_ANSWER_MAX_BYTES: Final = 4096
_NONCE_BYTES: Final = 18
# A proxy that is restarted or a receiver that is flooded: trying again makes sense. Other refusals are retried too, but
# a receiver that is gone says so.
_GONE: Final = 410


class DeliveryFailed(Exception):
    """The notice did not arrive. is_final: trying again is of no use."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Target:
    """Where a notice goes. address: a URL or an e-mail address; nonce: what a webhook's secret is derived from."""

    kind: Kind
    address: str
    nonce: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened. key: the same for the same happening; event: for programs, as `alert.fired`; facts: JSON-ready."""

    key: str
    event: str
    subject: str
    body: str
    facts: Mapping[str, Any]
    happened_at: datetime


def nonce_make() -> str:
    """What a new webhook's secret will be derived from."""
    return secrets.token_urlsafe(_NONCE_BYTES)


def webhook_secret(*, nonce: str) -> str:
    """The secret that a webhook's receiver checks signatures with: shown once, kept nowhere, derived when needed."""
    digest = hmac.new(settings.SECRET_KEY.encode(), f"atlasco webhook {nonce}".encode(), hashlib.sha256)
    return f"whsec_{digest.hexdigest()}"


def webhook_signature(*, secret: str, timestamp: int, content: bytes) -> str:
    """The text of X-Atlasco-Signature: the instant of sending, and HMAC-SHA256 of `TIMESTAMP.CONTENT`."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + content, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


def deliver(*, target: Target, notice: Notice, delivery_id: int, now: datetime) -> None:
    """Send one notice to one address. Raises DeliveryFailed."""
    if target.kind == "webhook":
        _webhook_deliver(target, notice, delivery_id, now)
    else:
        _email_deliver(target, notice)


def _webhook_deliver(target: Target, notice: Notice, delivery_id: int, now: datetime) -> None:
    content = orjson.dumps(
        {
            "event": notice.event,
            "delivery_id": str(delivery_id),
            "subject": notice.subject,
            "text": notice.body,
            "at": iso(notice.happened_at),
            **notice.facts,
        }
    )
    secret = webhook_secret(nonce=target.nonce)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Atlasco",
        "X-Atlasco-Event": notice.event,
        # The same at every attempt: by it a receiver knows what it has had already.
        "X-Atlasco-Delivery": str(delivery_id),
        "X-Atlasco-Signature": webhook_signature(secret=secret, timestamp=int(now.timestamp()), content=content),
        "Connection": "close",
    }
    parts = urlsplit(target.address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with connection_opened(
            target.address, allow_private=settings.WEBHOOKS_TO_PRIVATE, timeout_s=TIMEOUT_S
        ) as connection:
            connection.request("POST", path, body=content, headers=headers)
            answer = connection.getresponse()
            answer.read(_ANSWER_MAX_BYTES)
    except InvalidWebhook as error:
        raise DeliveryFailed(error.detail, is_final=True) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise DeliveryFailed(f"{type(error).__name__}: {error}"[:500]) from error
    if not 200 <= answer.status < 300:
        raise DeliveryFailed(f"The receiver answered {answer.status}.", is_final=answer.status == _GONE)


def _email_deliver(target: Target, notice: Notice) -> None:
    if not settings.EMAIL_IS_CONFIGURED:
        raise DeliveryFailed("No e-mail can be sent: ATLASCO_EMAIL_URL is not set.", is_final=True)
    # A line break in a header would begin another header; Django refuses it, and nothing would ever be sent.
    subject = " ".join(notice.subject.split())
    try:
        EmailMessage(subject=subject, body=notice.body, to=[target.address]).send()
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryFailed(f"{type(error).__name__}: {error}"[:500]) from error
