"""What a rule may be: a body checked, with every fault found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from analytics.alerts.evaluate import OPERATORS, Condition, Operator
from atlasco.lib.errors import FieldError, Invalid
from entities.values import ENTITY_TYPE_MAX_CHARS, EXTERNAL_ID_MAX_CHARS, name_error
from tenants.notices.addresses import InvalidWebhook, webhook_url_check

EMAILS_MAX: Final = 10
NAME_MAX: Final = 200
FOR_SAMPLES_MAX: Final = 10_000
FOR_SECONDS_MAX: Final = 31_536_000
_NO_NUL: Final = re.compile(r"[^\x00]*")
FIELDS: Final = (
    *("name", "attribute", "entity_type", "external_id", "operator", "threshold", "clear_threshold", "for_samples"),
    *("for_seconds", "is_enabled", "webhook_url", "emails"),
)
_DEFAULTS: Final[dict[str, Any]] = {
    "threshold": None,
    "entity_type": "",
    "external_id": "",
    "clear_threshold": None,
    "for_samples": 1,
    "for_seconds": 0,
    "is_enabled": True,
    "webhook_url": "",
    "emails": [],
}


class InvalidRule(Invalid):
    """The rule can't be kept as it is."""

    code = "invalid_alert_rule"


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
    is_stale = operator == "stale"
    threshold = 0.0 if is_stale else faults.number(merged, "threshold")
    if is_stale:
        _stale_check(merged, faults)
    clear = None if merged.get("clear_threshold") is None else faults.number(merged, "clear_threshold")
    if clear is not None and operator in OPERATORS and not is_stale:
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


def rule_body(rule: RuleInput) -> dict[str, Any]:
    """A rule as a body describes it."""
    condition = rule.condition
    return {
        "name": rule.name,
        "attribute": rule.attribute,
        "entity_type": rule.entity_type,
        "external_id": rule.external_id,
        "operator": condition.operator,
        "threshold": None if condition.operator == "stale" else condition.threshold,
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


def _stale_check(merged: Mapping[str, Any], faults: _Faults) -> None:
    """`stale` asks for how long nothing came, and for nothing else."""
    for name, nothing in (("threshold", None), ("clear_threshold", None), ("for_samples", 1)):
        if merged.get(name) != nothing:
            only = "null" if nothing is None else nothing
            faults.add(name, f"`{name}` has no meaning with stale, where it is {only}.")
    if merged.get("for_seconds") == 0:
        faults.add("for_seconds", "`for_seconds` is needed with stale: for how long no value came.")


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
            faults.add("emails", f"{text[:100]!r} is not an e-mail address.")
    return tuple(dict.fromkeys(raw))
