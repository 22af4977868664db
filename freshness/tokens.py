"""Consistency tokens: "at least what I wrote", for any store to compare with its own position. Fixed size, signed."""

from __future__ import annotations

import base64
import hmac
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from django.conf import settings

from atlasco.lib.errors import Invalid

_FORMAT: Final = struct.Struct(">BIIQ")  # Layout version, timeline, tenant, LSN.
_LAYOUT: Final = 1
_MAC_BYTES: Final = 12


class InvalidConsistencyToken(Invalid):
    """X-Consistency-Token is not one that this tenant was given by this installation."""

    code = "invalid_consistency_token"


@dataclass(frozen=True, slots=True)
class ConsistencyToken:
    """A write's position: everything up to lsn, on this timeline. lsn: bytes into the log, as an integer."""

    timeline: int
    tenant_id: int
    lsn: int


def lsn_text(lsn: int) -> str:
    """An LSN as PostgreSQL writes it, "0/1A2B3C4D"."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_parse(text: str) -> int:
    """The reverse of `lsn_text`. Raises ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def token_encode(token: ConsistencyToken) -> str:
    """40 characters, safe in a header."""
    body = _FORMAT.pack(_LAYOUT, token.timeline, token.tenant_id, token.lsn)
    return base64.urlsafe_b64encode(body + _mac(body)).decode().rstrip("=")


def token_decode(text: str, *, tenant_id: int) -> ConsistencyToken:
    """Return what the token says. Raises InvalidConsistencyToken: forged, damaged, or another tenant's."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidConsistencyToken from None
    body, mac = raw[: _FORMAT.size], raw[_FORMAT.size :]
    # The last character has bits that say nothing: only the one text that we wrote is taken.
    is_ours = base64.urlsafe_b64encode(raw).decode().rstrip("=") == text
    if not is_ours or len(body) != _FORMAT.size or not hmac.compare_digest(mac, _mac(body)):
        raise InvalidConsistencyToken
    layout, timeline, owner, lsn = _FORMAT.unpack(body)
    if layout != _LAYOUT or owner != tenant_id:
        raise InvalidConsistencyToken
    return ConsistencyToken(timeline, owner, lsn)


def _mac(body: bytes) -> bytes:
    key = f"freshness.tokens:{settings.SECRET_KEY}".encode()
    return hmac.new(key, body, sha256).digest()[:_MAC_BYTES]
