"""A rule as those need it who judge by it and tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.alerts.evaluate import Condition
from tenants.notices.channels import Target


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in force. entity_type, external_id: empty for any; effective_lsn: another one each time it begins anew."""

    rule_id: int
    tenant_id: int
    name: str
    attribute: str
    entity_type: str
    external_id: str
    condition: Condition
    targets: tuple[Target, ...]
    effective_lsn: int

    def is_about(self, entity: tuple[str, str]) -> bool:
        entity_type, external_id = entity
        return self.entity_type in {"", entity_type} and self.external_id in {"", external_id}


def rule_of(
    rule_id: int,
    tenant_id: int,
    name: str,
    attribute: str,
    entity_type: str,
    external_id: str,
    operator: Any,
    threshold: float,
    clear_threshold: float | None,
    for_samples: int,
    for_seconds: int,
    webhook_url: str,
    webhook_nonce: str,
    emails: list[str],
    effective_lsn: int,
) -> Rule:
    """The rule of a row, as the feed reads it."""
    targets = [Target("email", address) for address in emails]
    if webhook_url:
        targets.append(Target("webhook", webhook_url, webhook_nonce))
    condition = Condition(operator, threshold, clear_threshold, for_samples, for_seconds)
    return Rule(rule_id, tenant_id, name, attribute, entity_type, external_id, condition, tuple(targets), effective_lsn)
