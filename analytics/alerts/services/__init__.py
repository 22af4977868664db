"""Alert rules of the bound tenant: checked, kept, previewed; firings read and acknowledged."""

from analytics.alerts.services.checking import (
    EMAILS_MAX,
    FOR_SAMPLES_MAX,
    FOR_SECONDS_MAX,
    NAME_MAX,
    InvalidRule,
    RuleInput,
    rule_body,
    rule_parse,
)
from analytics.alerts.services.firings import (
    FIRING_STATES,
    Firing,
    FiringState,
    FiringUnknown,
    evaluated_at,
    firing_acknowledge,
    firings_read,
    firings_unseen_count,
)
from analytics.alerts.services.kept import stores_register
from analytics.alerts.services.preview import Preview, PreviewUnavailable, rule_preview
from analytics.alerts.services.rules import (
    RULES_MAX,
    AlertRule,
    RuleUnknown,
    TooManyRules,
    rule_create,
    rule_delete,
    rule_get,
    rule_patch,
    rule_update,
    rules_read,
)

__all__ = [
    "EMAILS_MAX",
    "FIRING_STATES",
    "FOR_SAMPLES_MAX",
    "FOR_SECONDS_MAX",
    "NAME_MAX",
    "RULES_MAX",
    "AlertRule",
    "Firing",
    "FiringState",
    "FiringUnknown",
    "InvalidRule",
    "Preview",
    "PreviewUnavailable",
    "RuleInput",
    "RuleUnknown",
    "TooManyRules",
    "evaluated_at",
    "firing_acknowledge",
    "firings_read",
    "firings_unseen_count",
    "rule_body",
    "rule_create",
    "rule_delete",
    "rule_get",
    "rule_parse",
    "rule_patch",
    "rule_preview",
    "rule_update",
    "rules_read",
    "stores_register",
]
