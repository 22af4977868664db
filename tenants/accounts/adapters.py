"""What django-allauth asks us: our words, our addresses, and secrets that a copy of the database does not give away."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.http import HttpRequest

from tenants.actors import request_ip
from tenants.binding import binding_current

_WRONG: Final = "This user name and this password don't belong together here."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth carries no types that mypy reads
    """Nobody signs up alone: admins add people."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _WRONG,
        "too_many_login_attempts": "Too many wrong passwords for this user name. Wait five minutes, then try again.",
        "enter_current_password": "That is not your present password.",
        "incorrect_password": "That is not your password.",
        "invalid_password_reset": "This link was used already or is too old. Ask for a new one.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return request_ip(request) or "0.0.0.0"  # noqa: S104  # Nothing listens there; it means "not known".

    def format_email_subject(self, subject: Any) -> str:
        return f"[Atlasco] {subject}"


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth carries no types that mypy reads
    """Second factors. Their keys are encrypted with the secret key, so a dump of the database is not enough."""

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return _fernet().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            # Another secret key wrote it. No code fits an empty key: an admin has to reset this factor.
            return ""

    def get_totp_issuer(self) -> str:
        # Which tenant it is for: a person of two tenants has to tell the entries in their app apart.
        tenant = binding_current().tenant
        return "Atlasco" if tenant is None else f"Atlasco {tenant.slug}"


def _fernet() -> MultiFernet:
    keys = [str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"totp {key}".encode()).digest())) for key in keys]
    )


def cache_key(key: str, prefix: str, version: int) -> str:
    """Django's cache, kept apart by tenant: `user 1` is somebody else in each."""
    return f"{prefix}:{binding_current().schema_name}:{version}:{key}"
