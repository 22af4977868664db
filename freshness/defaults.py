"""What a tenant has settled of freshness: for its query classes, and for single attributes. See Note [Whose budget].

It is a column of the tenant's row, as JSON: the row is read for each request anyway and remembered for a moment
(`tenants.directory`), so a budget costs no look-up, and is known while the primary is away. Another process follows a
change within the directory's two seconds.

    {"classes": {"operational": {"tier": "REALTIME"}}, "attributes": {"price": {"max_lag_seconds": 2.5}}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction

from atlasco.lib.errors import FieldError, Invalid
from freshness.policy import NO_DEFAULTS, QUERY_CLASSES, TIERS, Budget, Defaults, Limit, Tier, Wish, budget_settle
from tenants.audit import audit_record
from tenants.binding import public_bind, tenant_bind, tenant_current
from tenants.directory import directory_forget
from tenants.members.models import Role
from tenants.models import Tenant
from tenants.roles import role_require

# Each is looked at by every read of whole entities.
ATTRIBUTES_MAX: Final = 200
_NAME_MAX: Final = 255
_MEMBERS: Final = ("classes", "attributes")
_KEPT_MAX: Final = 10_000
# By tenant: the JSON as it was read, and what it says. The directory hands out the same object until it reads anew.
_kept: dict[int, tuple[object, Defaults]] = {}
Change = Mapping[str, Limit | None]


class InvalidDefaults(Invalid):
    """Freshness can't be settled like this; `errors` says where and why."""

    code = "invalid_defaults"


def budget_now(*, wish: Wish, query_class: str, attributes: Collection[str] | None = ()) -> Budget:
    """The budget of an operation of the tenant that is bound."""
    defaults = defaults_of(tenant_current())
    return budget_settle(wish=wish, query_class=query_class, defaults=defaults, attributes=attributes)


def defaults_of(tenant: Tenant | None) -> Defaults:
    """What a tenant has settled, as its row said when it was read."""
    if tenant is None or not tenant.freshness:
        return NO_DEFAULTS
    known = _kept.get(tenant.pk)
    if known is None or known[0] is not tenant.freshness:
        if len(_kept) >= _KEPT_MAX:
            _kept.clear()
        known = _kept[tenant.pk] = (tenant.freshness, _loaded(tenant.freshness))
    return known[1]


def defaults_read(*, tenant_id: int, using: str) -> Defaults:
    """What a tenant has settled, as that database knows it."""
    with public_bind():
        return _loaded(Tenant.objects.using(using).values_list("freshness", flat=True).get(pk=tenant_id))


def defaults_change(*, tenant: Tenant, classes: Change | None = None, attributes: Change | None = None) -> Defaults:
    """Settle some of a tenant's defaults anew; None takes one back. Return all of them.

    Raises InvalidDefaults: an unknown class, a name that is none, too many attributes; RoleMissing.
    """
    role_require(Role.ADMIN)
    errors = [
        FieldError(f"classes.{name}", "unknown_class", f"The query classes are {', '.join(QUERY_CLASSES)}.")
        for name in classes or {}
        if name not in QUERY_CLASSES
    ]
    errors += [
        FieldError("attributes", "invalid_name", f"A name has 1 to {_NAME_MAX} characters, none of them NUL.")
        for name in attributes or {}
        if not 1 <= len(name) <= _NAME_MAX or "\x00" in name
    ]
    if errors:
        raise InvalidDefaults(errors=errors)

    def changed(before: Defaults) -> Defaults:
        after = Defaults(_merged(before.classes, classes or {}), _merged(before.attributes, attributes or {}))
        if len(after.attributes) > ATTRIBUTES_MAX:
            detail = f"At most {ATTRIBUTES_MAX} attributes have a freshness of their own."
            raise InvalidDefaults(detail, errors=[FieldError("attributes", "too_many", detail)])
        return after

    return _write(tenant, changed)


def attribute_renamed(*, tenant: Tenant, name: str, target: str) -> dict[str, Any] | None:
    """An attribute's values move under another name: what was asked of the old one is asked of the new one, too.

    The stricter of both; the old name keeps its own as long as there may be values under it.
    Result: what the new name had before and has now, as JSON for `attribute_rename_undone`; None where nothing changed.
    """
    raised: dict[str, Any] | None = None

    def changed(before: Defaults) -> Defaults:
        nonlocal raised
        floor = before.floor([name, target])
        if name not in before.attributes or floor is None:
            return before
        was, limit = before.attributes.get(target), Limit(floor[0], floor[1])
        raised = {"was": None if was is None else _limit_json(was), "is": _limit_json(limit)}
        return Defaults(before.classes, {**before.attributes, target: limit})

    # Mostly there is nothing to change, and nobody has to wait for the row.
    if name in defaults_read(tenant_id=tenant.pk, using=DEFAULT_DB_ALIAS).attributes:
        _write(tenant, changed)
    return raised


def attribute_rename_undone(*, tenant: Tenant, target: str, floor: Mapping[str, Any]) -> None:
    """The values are back: what a rename asked of the new name is asked no more, unless it was settled anew since.

    floor: as `attribute_renamed` returned it.
    """

    def changed(before: Defaults) -> Defaults:
        if before.attributes.get(target) != _limit_loaded(floor["is"]):
            return before
        was = None if floor["was"] is None else _limit_loaded(floor["was"])
        return Defaults(before.classes, _merged(before.attributes, {target: was}))

    _write(tenant, changed)


def defaults_json(defaults: Defaults) -> dict[str, Any]:
    """As the API tells it, and as it is kept."""
    return {
        "classes": {name: _limit_json(limit) for name, limit in sorted(defaults.classes.items())},
        "attributes": {name: _limit_json(limit) for name, limit in sorted(defaults.attributes.items())},
    }


def change_parse(body: object) -> dict[str, Change]:
    """What a request wants to settle: `classes` and `attributes`, each {name: {"tier", "max_lag_seconds"} or null}.

    Raises InvalidDefaults with every fault.
    """
    if not isinstance(body, dict):
        raise InvalidDefaults(errors=[FieldError("", "invalid_type", "The body is a JSON object.")])
    errors: list[FieldError] = []
    found: dict[str, Change] = {}
    for member, settled in body.items():
        if member not in _MEMBERS:
            detail = f"There is no member {str(member)[:100]!r} here; known are classes and attributes."
            errors.append(FieldError(str(member)[:100], "unknown_field", detail))
        elif not isinstance(settled, dict):
            errors.append(FieldError(member, "invalid_type", f"`{member}` is an object of limits by name."))
        else:
            found[member] = {name: _limit_parse(raw, f"{member}.{name}", errors) for name, raw in settled.items()}
    if errors:
        raise InvalidDefaults(errors[0].detail if len(errors) == 1 else "", errors=errors)
    return found


def _limit_parse(raw: object, path: str, errors: list[FieldError]) -> Limit | None:
    if raw is None:
        return None
    tier: Tier | None = None
    max_lag_s: float | None = None
    if not isinstance(raw, dict) or not raw.keys() <= {"tier", "max_lag_seconds"}:
        errors.append(FieldError(path, "invalid_limit", "A limit is null, or has `tier`, `max_lag_seconds` or both."))
        return None
    told_tier, told_lag = raw.get("tier"), raw.get("max_lag_seconds")
    if told_tier is not None:
        tier = next((name for name in TIERS if name == told_tier), None)
        if tier is None:
            errors.append(FieldError(f"{path}.tier", "invalid_tier", f"A tier is one of {', '.join(TIERS)}."))
    if told_lag is not None:
        is_number = isinstance(told_lag, int | float) and not isinstance(told_lag, bool)
        if is_number and math.isfinite(told_lag) and told_lag >= 0:
            max_lag_s = float(told_lag)
        else:
            errors.append(FieldError(f"{path}.max_lag_seconds", "invalid_lag", "A number of seconds, 0 or more."))
    if told_tier is None and told_lag is None:
        errors.append(FieldError(path, "invalid_limit", "A limit has a tier, seconds, or both; null takes it back."))
    return Limit(tier, max_lag_s)


def _write(tenant: Tenant, changed: Callable[[Defaults], Defaults]) -> Defaults:
    with transaction.atomic(using=DEFAULT_DB_ALIAS):
        with public_bind():
            rows = Tenant.objects.using(DEFAULT_DB_ALIAS).filter(pk=tenant.pk)
            # Every write of the tenant holds the row's key: FOR UPDATE would wait for all of them, and they for us.
            before = _loaded(rows.select_for_update(no_key=True).get().freshness)
            after = changed(before)
            if after != before:
                rows.update(freshness=defaults_json(after))
        if after != before:
            told = {member: _difference(before, after, member) for member in _MEMBERS}
            with tenant_bind(tenant):
                audit_record(
                    action="tenant.freshness",
                    subject=f"tenant:{tenant.slug}",
                    before={member: was for member, (was, _) in told.items()},
                    after={member: now for member, (_, now) in told.items()},
                )
    transaction.on_commit(directory_forget, using=DEFAULT_DB_ALIAS)
    return after


def _difference(before: Defaults, after: Defaults, member: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was and what is of those that changed."""
    was, now = defaults_json(before)[member], defaults_json(after)[member]
    names = {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
    return {name: was.get(name) for name in sorted(names)}, {name: now.get(name) for name in sorted(names)}


def _merged(before: Mapping[str, Limit], change: Change) -> dict[str, Limit]:
    merged = {**before, **change}
    return {name: limit for name, limit in merged.items() if limit is not None}


def _loaded(raw: Mapping[str, Any]) -> Defaults:
    """The reverse of `defaults_json`, of what has been checked when it was written."""
    return Defaults(
        *({name: _limit_loaded(limit) for name, limit in raw.get(member, {}).items()} for member in _MEMBERS)
    )


def _limit_loaded(raw: Mapping[str, Any]) -> Limit:
    return Limit(raw.get("tier"), raw.get("max_lag_seconds"))


def _limit_json(limit: Limit) -> dict[str, Any]:
    told = {"tier": limit.tier, "max_lag_seconds": limit.max_lag_s}
    return {name: value for name, value in told.items() if value is not None}
