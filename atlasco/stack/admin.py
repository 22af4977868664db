"""The platform admin that a start makes sure of: whose password it gets, and what may still be said of it."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from atlasco.stack.django import management_command
from atlasco.stack.plan import ADMIN_PASSWORD, Plan
from atlasco.stack.rundir import file_write

USERNAME = "admin"


class PasswordFrom(StrEnum):
    """Where the password came from that the admin got from us last."""

    GENERATED = "generated"
    GIVEN = "given"


async def admin_ensure(plan: Plan) -> None:
    """Create the admin, once for each database; give it the password of ATLASCO_ADMIN_PASSWORD at every start.

    A generated password is never set twice: it may have been changed in the browser since.
    """
    given = plan.environ.get(ADMIN_PASSWORD, "")
    if not given and password_from(plan) is not None:
        return
    env = plan.serving_env() | {ADMIN_PASSWORD: given or plan.secrets.admin_password}
    await management_command(plan, "ensure_admin", "--username", USERNAME, env=env, log_name="ensure_admin")
    kind = PasswordFrom.GIVEN if given else PasswordFrom.GENERATED
    file_write(_marker(plan), f"{kind} {_database(plan)}\n")


def password_from(plan: Plan) -> PasswordFrom | None:
    """Where the password came from; None where this database's admin was not made from here."""
    try:
        kind, _, database = _marker(plan).read_text(encoding="utf-8").strip().partition(" ")
    except OSError:
        return None
    return PasswordFrom(kind or PasswordFrom.GENERATED) if database == _database(plan) else None


def login_words(plan: Plan) -> str:
    """How to log in, in a few words; the generated password with its age, since it may not hold any more."""
    if plan.environ.get(ADMIN_PASSWORD):
        return f"log in as {USERNAME}, password as in {ADMIN_PASSWORD}"
    if password_from(plan) == PasswordFrom.GENERATED:
        return f"log in as {USERNAME}, password {plan.secrets.admin_password}, generated at the first start"
    return f"log in as {USERNAME}, password as you set it"


def _marker(plan: Plan) -> Path:
    return plan.run_dir.data / "admin-created"


def _database(plan: Plan) -> str:
    """Tells somebody else's databases apart without showing their passwords; empty for our own."""
    url = plan.external.database_url
    return hashlib.sha256(url.encode()).hexdigest()[:16] if url else ""
