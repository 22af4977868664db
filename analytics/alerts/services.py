"""Alert rules of the bound tenant: checked, kept, previewed; firings read and acknowledged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from clickhouse_connect.driver.exceptions import ClickHouseError
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from analytics.alerts.evaluate import OPERATORS, Condition, Operator, Sample, firings_count
from analytics.clickhouse.client import clickhouse_client, is_unknown_table
from atlasco.lib import clock
from atlasco.lib.clock import to_us
from atlasco.lib.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from atlasco.lib.sql import sql_blocks
from entities.values import ENTITY_TYPE_MAX_CHARS, EXTERNAL_ID_MAX_CHARS, name_error
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.notices.addresses import InvalidWebhook, webhook_url_check
from tenants.notices.channels import nonce_make, webhook_secret
from tenants.roles import role_require
from tenants.stores import TenantStore, store_register

SQL: Final = sql_blocks(Path(__file__).parent / "sql" / "queries.sql")
FiringState: TypeAlias = Literal["open", "cleared", "unacknowledged", "all"]
FIRING_STATES: Final[tuple[FiringState, ...]] = ("open", "cleared", "unacknowledged", "all")
RULES_MAX: Final = 500
EMAILS_MAX: Final = 10
NAME_MAX: Final = 200
FOR_SAMPLES_MAX: Final = 10_000
FOR_SECONDS_MAX: Final = 31_536_000
PREVIEW: Final = timedelta(days=7)
_PREVIEW_SAMPLES: Final = 200_000
_ID_MAX: Final = 2**63 - 1
# Where `firings` has its two instants in microseconds.
_FIRED, _CLEARED = 9, 12
_NO_NUL: Final = re.compile(r"[^\x00]*")


class RuleUnknown(NotFound):
    """There is no such alert rule."""

    code = "rule_unknown"


class FiringUnknown(NotFound):
    """There is no such firing."""

    code = "firing_unknown"


class InvalidRule(Invalid):
    """The rule can't be kept as it is."""

    code = "invalid_rule"


class TooManyRules(Conflict):
    """A tenant has at most 500 alert rules. Delete one that nobody needs."""

    code = "too_many_rules"


class PreviewUnavailable(Unavailable):
    """ClickHouse does not answer, so nothing can be said about the past. The rule can be kept all the same."""

    code = "preview_unavailable"


@dataclass(frozen=True, slots=True)
class RuleInput:
    """A rule as somebody wants it, checked. entity_type, external_id: empty for any; webhook_url: empty for none."""

    name: str
    attribute: str
    condition: Condition
    entity_type: str = ""
    external_id: str = ""
    is_enabled: bool = True
    webhook_url: str = ""
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule as it is kept. open_firings: how many have not been cleared."""

    rule_id: int
    wanted: RuleInput
    created_at: datetime
    updated_at: datetime
    open_firings: int


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that fired for an entity. fired_at, cleared_at: instants of the samples; noticed_at: when it was seen."""

    firing_id: int
    rule_id: int
    rule_name: str
    attribute: str
    operator: Operator
    threshold: float
    entity_id: int
    entity_type: str
    external_id: str
    fired_at: datetime
    value: float
    noticed_at: datetime
    cleared_at: datetime | None
    cleared_value: float | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    fired_lsn: int


@dataclass(frozen=True, slots=True)
class Preview:
    """How often a rule would have fired. is_whole: False where there were more samples than a preview reads."""

    firings: int
    samples: int
    entities: int
    is_whole: bool


# --- Checking ---------------------------------------------------------------------------------------------------------
FIELDS: Final = (
    *("name", "attribute", "entity_type", "external_id", "operator", "threshold", "clear_threshold", "for_samples"),
    *("for_seconds", "is_enabled", "webhook_url", "emails"),
)


def rule_parse(body: object, *, over: RuleInput | None = None) -> RuleInput:
    """Return the rule that a body describes. over: what it leaves out. Raises InvalidRule with every fault found."""
    if not isinstance(body, Mapping):
        raise InvalidRule("The body is a JSON object.")
    faults = _Faults(
        [FieldError(str(name)[:100], "unknown_field", "There is no such field.") for name in body if name not in FIELDS]
    )
    merged = {**(rule_body(over) if over is not None else _DEFAULTS), **body}
    name = faults.text(merged, "name", NAME_MAX, is_needed=True)
    attribute = merged.get("attribute")
    if (error := name_error(attribute, "attribute")) is not None:
        faults.errors.append(error)
    operator = merged.get("operator")
    if operator not in OPERATORS:
        faults.add("operator", f"`operator` is one of {', '.join(OPERATORS)}.")
    threshold = faults.number(merged, "threshold")
    clear = None if merged.get("clear_threshold") is None else faults.number(merged, "clear_threshold")
    if clear is not None and operator in OPERATORS:
        _clear_check(cast(Operator, operator), threshold, clear, faults)
    for_samples = faults.whole(merged, "for_samples", 1, FOR_SAMPLES_MAX)
    for_seconds = faults.whole(merged, "for_seconds", 0, FOR_SECONDS_MAX)
    if not isinstance(merged["is_enabled"], bool):
        faults.add("is_enabled", "`is_enabled` is true or false.")
    webhook_url = merged["webhook_url"]
    if webhook_url != "":
        try:
            webhook_url_check(webhook_url if isinstance(webhook_url, str) else "")
        except InvalidWebhook as error_:
            faults.add("webhook_url", error_.detail)
    emails = _emails(merged["emails"], faults)
    entity_type = faults.text(merged, "entity_type", ENTITY_TYPE_MAX_CHARS)
    external_id = faults.text(merged, "external_id", EXTERNAL_ID_MAX_CHARS)
    if faults.errors:
        raise InvalidRule(faults.errors[0].detail if len(faults.errors) == 1 else "", errors=faults.errors)
    condition = Condition(cast(Operator, operator), threshold, clear, for_samples, for_seconds)
    return RuleInput(
        name, str(attribute), condition, entity_type, external_id, merged["is_enabled"], webhook_url, emails
    )


_DEFAULTS: Final[dict[str, Any]] = {
    "entity_type": "",
    "external_id": "",
    "clear_threshold": None,
    "for_samples": 1,
    "for_seconds": 0,
    "is_enabled": True,
    "webhook_url": "",
    "emails": [],
}


def rule_body(rule: RuleInput) -> dict[str, Any]:
    """A rule as a body describes it."""
    condition = rule.condition
    return {
        "name": rule.name,
        "attribute": rule.attribute,
        "entity_type": rule.entity_type,
        "external_id": rule.external_id,
        "operator": condition.operator,
        "threshold": condition.threshold,
        "clear_threshold": condition.clear_threshold,
        "for_samples": condition.for_samples,
        "for_seconds": condition.for_seconds,
        "is_enabled": rule.is_enabled,
        "webhook_url": rule.webhook_url,
        "emails": list(rule.emails),
    }


class _Faults:
    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors

    def add(self, path: str, detail: str) -> None:
        self.errors.append(FieldError(path, "invalid_value", detail))

    def text(self, body: Mapping[str, Any], name: str, most: int, *, is_needed: bool = False) -> str:
        value = body.get(name)
        if (
            isinstance(value, str)
            and len(value) <= most
            and _NO_NUL.fullmatch(value)
            and (value.strip() or not is_needed)
        ):
            return value
        self.add(
            name,
            f"`{name}` is a text of at most {most} characters." if not is_needed or value else f"`{name}` is needed.",
        )
        return ""

    def number(self, body: Mapping[str, Any], name: str) -> float:
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                if math.isfinite(float(value)):
                    return float(value)
            except OverflowError:
                pass
        self.add(name, f"`{name}` is a number.")
        return 0.0

    def whole(self, body: Mapping[str, Any], name: str, least: int, most: int) -> int:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.add(name, f"`{name}` is a whole number from {least} to {most:,}.")
        return least


def _clear_check(operator: Operator, threshold: float, clear: float, faults: _Faults) -> None:
    """What is beyond the threshold must be beyond the clear threshold, too, or it would be cleared as it fires."""
    if operator in {"eq", "ne"}:
        faults.add("clear_threshold", "`clear_threshold` has no meaning with eq and ne.")
    elif (operator in {"gt", "ge"} and clear > threshold) or (operator in {"lt", "le"} and clear < threshold):
        side = "above" if operator in {"gt", "ge"} else "below"
        faults.add("clear_threshold", f"`clear_threshold` must not be {side} the threshold.")


def _emails(raw: object, faults: _Faults) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or len(raw) > EMAILS_MAX or not all(isinstance(text, str) for text in raw):
        faults.add("emails", f"`emails` is a list of at most {EMAILS_MAX} addresses.")
        return ()
    for text in raw:
        try:
            validate_email(text)
        except ValidationError:
            faults.add("emails", f"{text[:100]!r} is no e-mail address.")
    return tuple(dict.fromkeys(raw))


# --- Rules ------------------------------------------------------------------------------------------------------------
def rules_read(*, tenant_id: int, limit: int = RULES_MAX, after: int = 0) -> list[AlertRule]:
    """The tenant's rules, oldest first."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["rules"], {"tenant_id": tenant_id, "after": after, "limit": limit})
        return [_rule(*row) for row in cursor.fetchall()]


def rule_get(*, tenant_id: int, rule_id: int) -> AlertRule:
    """One rule. Raises RuleUnknown."""
    found = rules_read(tenant_id=tenant_id, limit=1, after=min(rule_id, _ID_MAX) - 1)
    if not found or found[0].rule_id != rule_id:
        raise RuleUnknown
    return found[0]


def _rule(
    rule_id: int,
    name: str,
    attribute: str,
    entity_type: str,
    external_id: str,
    operator: Operator,
    threshold: float,
    clear_threshold: float | None,
    for_samples: int,
    for_seconds: int,
    is_enabled: bool,
    webhook_url: str,
    emails: list[str],
    created_at: datetime,
    updated_at: datetime,
    open_firings: int,
) -> AlertRule:
    condition = Condition(operator, threshold, clear_threshold, for_samples, for_seconds)
    wanted = RuleInput(name, attribute, condition, entity_type, external_id, is_enabled, webhook_url, tuple(emails))
    return AlertRule(rule_id, wanted, created_at, updated_at, open_firings)


def rule_create(*, tenant_id: int, rule: RuleInput, now: datetime) -> tuple[AlertRule, str]:
    """Keep a new rule; it tests what is committed from now on. Return it with its webhook's secret, empty without one.

    The secret is told here and never again. Raises TooManyRules, RoleMissing.
    """
    role_require(Role.EDITOR)
    nonce = nonce_make() if rule.webhook_url else ""
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["rules_count"], {"tenant_id": tenant_id})
        if cursor.fetchone()[0] >= RULES_MAX:
            raise TooManyRules
        cursor.execute(SQL["rule_create"], {**_values(tenant_id, rule, now), "webhook_nonce": nonce})
        rule_id = cursor.fetchone()[0]
    return rule_get(tenant_id=tenant_id, rule_id=rule_id), webhook_secret(nonce=nonce) if nonce else ""


def rule_update(*, tenant_id: int, rule_id: int, rule: RuleInput, now: datetime) -> tuple[AlertRule, str]:
    """Keep a rule as it is wanted now. Another webhook gets another secret, which is returned; else it is empty.

    What decides about firing begins anew where it was changed: runs are forgotten, open firings end.
    Raises RuleUnknown, RoleMissing.
    """
    role_require(Role.EDITOR)
    before = rule_get(tenant_id=tenant_id, rule_id=rule_id).wanted
    restarts = _decisive(before) != _decisive(rule)
    nonce = nonce_make() if rule.webhook_url and rule.webhook_url != before.webhook_url else None
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        values = {**_values(tenant_id, rule, now), "rule_id": rule_id, "restarts": restarts, "webhook_nonce": nonce}
        cursor.execute(SQL["rule_update"], values)
        if restarts:
            cursor.execute(SQL["rule_restart"], {"tenant_id": tenant_id, "rule_id": rule_id, "now_us": to_us(now)})
    return rule_get(tenant_id=tenant_id, rule_id=rule_id), webhook_secret(nonce=nonce) if nonce else ""


def _decisive(rule: RuleInput) -> RuleInput:
    return replace(rule, name="", webhook_url="", emails=())


def _values(tenant_id: int, rule: RuleInput, now: datetime) -> dict[str, Any]:
    return {**rule_body(rule), "tenant_id": tenant_id, "now": now}


def rule_delete(*, tenant_id: int, rule_id: int) -> None:
    """Remove a rule with its firings. Raises RuleUnknown, RoleMissing."""
    role_require(Role.EDITOR)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["rule_delete"], {"tenant_id": tenant_id, "rule_id": rule_id})
        if cursor.rowcount == 0:
            raise RuleUnknown


def rule_preview(*, tenant_id: int, rule: RuleInput, now: datetime) -> Preview:
    """How often the rule would have fired in the last seven days. Raises PreviewUnavailable."""
    parameters = {
        "tenant": tenant_id,
        "attribute": rule.attribute,
        "entity_type": rule.entity_type,
        "external_id": rule.external_id,
        "from_us": to_us(now - PREVIEW),
        "limit": _PREVIEW_SAMPLES + 1,
    }
    try:
        with closing(clickhouse_client(timeout_s=20)) as client:
            rows = client.query(SQL["history"], parameters=parameters).result_rows
    except ClickHouseError as error:
        if not is_unknown_table(error):
            raise PreviewUnavailable from error
        rows = []  # The feed has not made its tables yet: there is no past.
    kept = rows[:_PREVIEW_SAMPLES]
    firings = entities = 0
    for _, found in groupby(kept, key=lambda row: row[0]):
        entities += 1
        # In this order: their place is as good as an LSN.
        samples = [Sample(place, row[1], row[3]) for place, row in enumerate(found, 1)]
        firings += firings_count(rule.condition, samples)
    return Preview(firings, len(kept), entities, is_whole=len(rows) <= _PREVIEW_SAMPLES)


# --- Firings ----------------------------------------------------------------------------------------------------------
def firings_read(
    *,
    tenant_id: int,
    state: FiringState = "all",
    rule_id: int | None = None,
    before: int | None = None,
    limit: int,
) -> list[Firing]:
    """Firings, newest first. before: only those older than this one."""
    values = {
        "tenant_id": tenant_id,
        "state": state,
        "rule_id": rule_id,
        "before": _ID_MAX if before is None else before,
        "limit": limit,
    }
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["firings"], values)
        return [_firing(row) for row in cursor.fetchall()]


def _firing(row: tuple[Any, ...]) -> Firing:
    values = list(row)
    for place in (_FIRED, _CLEARED):
        values[place] = None if values[place] is None else clock.from_us(values[place])
    return Firing(*values)


def firings_unseen_count(*, tenant_id: int) -> int:
    """How many firings are neither cleared nor acknowledged; 100 stands for that many and more."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["firings_open_count"], {"tenant_id": tenant_id})
        return int(cursor.fetchone()[0])


def firing_acknowledge(*, tenant_id: int, firing_id: int, who: str, now: datetime) -> Firing:
    """Note that somebody has seen it; whoever was first stays noted. Raises FiringUnknown, RoleMissing."""
    role_require(Role.EDITOR)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            SQL["firing_acknowledge"],
            {"tenant_id": tenant_id, "firing_id": min(firing_id, _ID_MAX), "who": who, "now": now},
        )
        if cursor.rowcount == 0:
            raise FiringUnknown
    return firings_read(tenant_id=tenant_id, before=firing_id + 1, limit=1)[0]


def evaluated_at() -> datetime | None:
    """Everything committed before this instant has been tested; None before the feed's first heartbeat."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["evaluated"])
        row = cursor.fetchone()
    return clock.from_us(row[0]) if row is not None and row[0] else None


# --- What is kept of a tenant -----------------------------------------------------------------------------------------
def stores_register() -> None:
    """Make the tables known."""
    for order, table in enumerate(("alert_firings", "alert_states", "alert_rules")):
        store_register(TenantStore(name=table, count=_counter(table), erase=_eraser(table), order=140 + order))


def _counter(table: str) -> Any:
    def count(tenant: Tenant) -> int:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.fetchone()[0])

    return count


def _eraser(table: str) -> Any:
    def erase(tenant: Tenant) -> int:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE tenant_id = %s", (tenant.pk,))
            return int(cursor.rowcount)

    return erase
