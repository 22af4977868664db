"""The text of an API token: `atl_<tenant id in base 36>_<secret>`. Pure; knows no table.

The tenant is in the text so that the right schema can be bound before the token is looked up in it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

SECRET_BYTES = 32
PREFIX_LENGTH = 8
_TOKEN = re.compile(r"atl_([0-9a-z]{1,6})_([A-Za-z0-9_-]{40,128})")
_TENANT_ID_MAX = 2**31 - 1  # PostgreSQL's integer.


@dataclass(frozen=True, slots=True)
class TokenText:
    """A token taken apart. prefix: what may be shown again; digest: what is stored."""

    tenant_id: int
    prefix: str
    digest: str = field(repr=False)

    def matches(self, digest: str) -> bool:
        """Compare in constant time, so that answers do not tell how much of a digest was right."""
        return hmac.compare_digest(self.digest, digest)


def token_make(*, tenant_id: int) -> str:
    """A new token for this tenant, with 256 random bits."""
    return f"atl_{_base36(tenant_id)}_{secrets.token_urlsafe(SECRET_BYTES)}"


def token_parse(text: str) -> TokenText | None:
    """Take a token apart; None where it is not one, whatever it is."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    tenant_id = int(match[1], 36)
    if not 0 < tenant_id <= _TENANT_ID_MAX:
        return None
    return TokenText(tenant_id, match[2][:PREFIX_LENGTH], hashlib.sha256(text.encode("ascii")).hexdigest())


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
