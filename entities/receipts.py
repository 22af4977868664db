"""Idempotency keys of imports: the first answer, kept for a day and given again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import orjson
from django.db import connections, transaction

from atlasco.lib.errors import Conflict, FieldError, Invalid
from entities.ingest.batch import tenant_hold

KEPT_FOR: Final = timedelta(hours=24)
# A receipt without an answer is an import that still runs, or one whose process was killed.
ABANDONED_AFTER: Final = timedelta(minutes=30)
KEY_MAX_CHARS: Final = 255


class InvalidIdempotencyKey(Invalid):
    """An Idempotency-Key has 1 to 255 printable characters."""

    code = "invalid_idempotency_key"


class KeyInUse(Conflict):
    """An import with this Idempotency-Key is running. Try again when it has ended."""

    code = "idempotency_key_in_use"
    retry_after_s = 5


class KeyReused(Conflict):
    """This Idempotency-Key was used with another body. Take a new key for a new import."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A first answer. fingerprint: SHA-256 of the body that it answers."""

    fingerprint: bytes
    status: int
    answer: dict[str, Any]


def key_check(key: str) -> str:
    """Return the key. Raises InvalidIdempotencyKey."""
    if not 1 <= len(key) <= KEY_MAX_CHARS or not key.isprintable():
        detail = " ".join((InvalidIdempotencyKey.__doc__ or "").split())
        raise InvalidIdempotencyKey(detail, errors=[FieldError("Idempotency-Key", "invalid_idempotency_key", detail)])
    return key


def receipt_open(*, tenant_id: int, key: str, now: datetime) -> Receipt | None:
    """Claim a key for an import that begins; None means go ahead. An earlier import's answer is returned instead.

    Raises KeyInUse while the earlier import runs, TenantBusy.
    """
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        tenant_hold(tenant_id=tenant_id)
        cursor.execute(
            "INSERT INTO import_receipts AS r (tenant_id, idempotency_key, created_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (tenant_id, idempotency_key) DO UPDATE"
            " SET created_at = excluded.created_at, fingerprint = NULL, status = NULL, answer = NULL"
            " WHERE r.created_at < %s OR (r.answer IS NULL AND r.created_at < %s)"
            " RETURNING true",
            (tenant_id, key, now, now - KEPT_FOR, now - ABANDONED_AFTER),
        )
        if cursor.fetchone() is not None:
            return None
        cursor.execute(
            "SELECT fingerprint, status, answer FROM import_receipts WHERE tenant_id = %s AND idempotency_key = %s",
            (tenant_id, key),
        )
        row = cursor.fetchone()
    if row is None or row[2] is None:
        raise KeyInUse
    return Receipt(bytes(row[0]), row[1], orjson.loads(row[2]))


def receipt_close(*, tenant_id: int, key: str, receipt: Receipt) -> None:
    """Keep the answer of an import that has ended."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE import_receipts SET fingerprint = %s, status = %s, answer = %s"
            " WHERE tenant_id = %s AND idempotency_key = %s",
            (receipt.fingerprint, receipt.status, orjson.dumps(receipt.answer).decode(), tenant_id, key),
        )


def receipt_reopen(*, tenant_id: int, key: str, now: datetime) -> None:
    """Claim a key again whose answer turned out to be about a part of the body."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE import_receipts SET created_at = %s, fingerprint = NULL, status = NULL, answer = NULL"
            " WHERE tenant_id = %s AND idempotency_key = %s",
            (now, tenant_id, key),
        )


def receipt_drop(*, tenant_id: int, key: str) -> None:
    """Free the key of an import that gave no answer worth repeating."""
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM import_receipts WHERE tenant_id = %s AND idempotency_key = %s", (tenant_id, key))


def receipts_expire(*, tenant_id: int, now: datetime) -> int:
    """Forget answers older than a day. Return how many."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "DELETE FROM import_receipts WHERE tenant_id = %s AND created_at < %s", (tenant_id, now - KEPT_FOR)
        )
        return int(cursor.rowcount)


class Fingerprint:
    """Passes chunks on and hashes them on the way; the same body is another one for another operation."""

    def __init__(self, operation: str) -> None:
        self._hash = sha256(f"{operation}\n".encode())

    def of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._hash.update(chunk)
            yield chunk

    def digest(self) -> bytes:
        return self._hash.digest()
