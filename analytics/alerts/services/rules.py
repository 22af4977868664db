"""Rules of the bound tenant: read and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from analytics.alerts.evaluate import Condition, Operator, Sample
from analytics.alerts.rule import Rule, rule_of
from analytics.alerts.services.checking import RuleInput, rule_body, rule_parse
from analytics.alerts.telling import Happening, notices_of
from atlasco.lib.clock import to_us
from atlasco.lib.errors import Conflict, NotFound
from atlasco.lib.sql import sql_blocks
from tenants.audit import audit_record
from tenants.members.models import Role
from tenants.notices.channels import nonce_make, webhook_secret
from tenants.notices.services import notices_queue
from tenants.roles import role_require

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "queries.sql")
RULES_MAX: Final = 500
# The feed holds a state of each in memory, about 1 kB.
STALE_MAX: Final = 100_000
_ID_MAX: Final = 2**63 - 1


class RuleUnknown(NotFound):
    """There is no such alert rule."""

    code = "alert_rule_unknown"


class TooManyRules(Conflict):
    """A tenant has at most 500 alert rules. Delete one that nobody needs."""

    code = "too_many_rules"


class TooManyWatched(Conflict):
    """Rules with `stale` begin with at most 100,000 entities, all of a tenant's together. Name a type or an entity."""

    code = "too_many_watched"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule as it is kept. open_firings: how many have not been cleared."""

    rule_id: int
    wanted: RuleInput
    created_at: datetime
    updated_at: datetime
    open_firings: int


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

    The secret is told here and never again. Raises TooManyRules, TooManyWatched, RoleMissing.
    """
    role_require(Role.EDITOR)
    nonce = nonce_make() if rule.webhook_url else ""
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(SQL["rules_lock"], {"tenant_id": tenant_id})
        cursor.execute(SQL["rules_count"], {"tenant_id": tenant_id})
        if cursor.fetchone()[0] >= RULES_MAX:
            raise TooManyRules
        _watched_check(cursor, tenant_id, 0, rule)
        cursor.execute(SQL["rule_create"], {**_values(tenant_id, rule, now), "webhook_nonce": nonce})
        rule_id = cursor.fetchone()[0]
        audit_record(action="alert_rule.create", subject=_subject(rule), after=rule_body(rule))
    return rule_get(tenant_id=tenant_id, rule_id=rule_id), webhook_secret(nonce=nonce) if nonce else ""


def rule_update(*, tenant_id: int, rule_id: int, rule: RuleInput, now: datetime) -> tuple[AlertRule, str]:
    """Keep a rule as it is wanted now. Another webhook gets another secret, which is returned; else it is empty.

    What decides about firing begins anew where it was changed: runs are forgotten, open firings end, and whoever was
    told of them is told. Raises RuleUnknown, TooManyWatched, RoleMissing.
    """
    return _keep(tenant_id, rule_id, lambda _: rule, now)


def rule_patch(*, tenant_id: int, rule_id: int, body: object, now: datetime) -> tuple[AlertRule, str]:
    """As `rule_update`, with the rule that a body describes over what is kept. Raises InvalidRule as well."""
    return _keep(tenant_id, rule_id, lambda before: rule_parse(body, over=before), now)


def _keep(
    tenant_id: int, rule_id: int, wanted: Callable[[RuleInput], RuleInput], now: datetime
) -> tuple[AlertRule, str]:
    role_require(Role.EDITOR)
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        known = _rule_hold(cursor, tenant_id, rule_id)
        before = rule_get(tenant_id=tenant_id, rule_id=rule_id).wanted
        rule = wanted(before)
        restarts = _decisive(before) != _decisive(rule)
        nonce = nonce_make() if rule.webhook_url and rule.webhook_url != before.webhook_url else None
        values = {**_values(tenant_id, rule, now), "rule_id": rule_id, "restarts": restarts, "webhook_nonce": nonce}
        cursor.execute(SQL["rule_update"], values)
        if restarts:
            _watched_check(cursor, tenant_id, rule_id, rule)
            _firings_end(cursor, known, "changed" if rule.is_enabled else "switched off", now)
        if rule != before:
            subject = _subject(before)
            audit_record(action="alert_rule.change", subject=subject, before=rule_body(before), after=rule_body(rule))
    return rule_get(tenant_id=tenant_id, rule_id=rule_id), webhook_secret(nonce=nonce) if nonce else ""


def _watched_check(cursor: Any, tenant_id: int, rule_id: int, rule: RuleInput) -> None:
    """Refuse a rule that would give the feed more to remember than it can. An entity's own rule is none of those."""
    if rule.condition.operator != "stale" or not rule.is_enabled or rule.external_id:
        return
    cursor.execute(
        SQL["stale_watched"],
        {
            "tenant_id": tenant_id,
            "rule_id": rule_id,
            "attribute": rule.attribute,
            "entity_type": rule.entity_type,
            "limit": STALE_MAX + 1,
        },
    )
    if cursor.fetchone()[0] > STALE_MAX:
        raise TooManyWatched


def _rule_hold(cursor: Any, tenant_id: int, rule_id: int) -> Rule:
    cursor.execute(SQL["rule_hold"], {"tenant_id": tenant_id, "rule_id": min(rule_id, _ID_MAX)})
    row = cursor.fetchone()
    if row is None:
        raise RuleUnknown
    return rule_of(*row)


def _firings_end(cursor: Any, rule: Rule, what: str, now: datetime) -> None:
    """Forget the rule's runs and end what is open, and tell those whom the rule told that it fired."""
    sample = Sample(0, to_us(now), None)
    cursor.execute(SQL["rule_end"], {"tenant_id": rule.tenant_id, "rule_id": rule.rule_id, "now_us": sample.at_us})
    ended = [
        Happening(
            *(rule, entity_id, (entity_type, external_id), "cleared", sample, fired_lsn, firing_id),
            reason=f"the rule was {what}.",
        )
        for firing_id, entity_id, entity_type, external_id, fired_lsn in cursor.fetchall()
    ]
    for notice in notices_of(ended):
        notices_queue(tenant_id=rule.tenant_id, notice=notice, targets=rule.targets, now=now)


def _subject(rule: RuleInput) -> str:
    return f"alert_rule:{rule.name}"


def _decisive(rule: RuleInput) -> RuleInput:
    return replace(rule, name="", webhook_url="", emails=())


def _values(tenant_id: int, rule: RuleInput, now: datetime) -> dict[str, Any]:
    return {**rule_body(rule), "threshold": rule.condition.threshold, "tenant_id": tenant_id, "now": now}


def rule_delete(*, tenant_id: int, rule_id: int, now: datetime) -> None:
    """Remove a rule with its firings; of open ones it is told that they end. Raises RuleUnknown, RoleMissing."""
    role_require(Role.EDITOR)
    with transaction.atomic(using=DEFAULT_DB_ALIAS), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        known = _rule_hold(cursor, tenant_id, rule_id)
        before = rule_get(tenant_id=tenant_id, rule_id=rule_id).wanted
        _firings_end(cursor, known, "deleted", now)
        cursor.execute(SQL["rule_delete"], {"tenant_id": tenant_id, "rule_id": rule_id})
        audit_record(action="alert_rule.delete", subject=_subject(before), before=rule_body(before))
