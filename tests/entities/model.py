"""What the contract says, in plain Python: slow, obvious, and written without a look at the product's own code.

`Store` is an import line by line; `matches` and `page_of` are a search; `aggregate_of` an aggregate. Tests run the
product and the model on the same input and compare.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, TypeAlias

Json: TypeAlias = str | int | float | bool
Key: TypeAlias = tuple[str, str]

TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d{1,100}))?(Z|([+-])(\d\d):?(\d\d)?)", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- Values -----------------------------------------------------------------------------------------------------------


def microseconds_of(text: str) -> int | None:
    """Microseconds since 1970, rounded half to even; None where the text is not a full date-time with zone."""
    match = TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    date, time, digits, zone, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{time}+00:00")
    except ValueError:
        return None
    offset_s = 0 if zone == "Z" else int(hours) * 3600 + int(minutes or 0) * 60
    if int(hours or 0) > 15 or int(minutes or 0) > 59:
        return None
    whole = (local - EPOCH) // (EPOCH.resolution) - (-1 if sign == "-" else 1) * offset_s * 1_000_000
    return whole + round(Fraction(int(digits or 0), 10 ** len(digits or "")) * 1_000_000)


def kind_of(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string" if microseconds_of(value) is None else "timestamp"
    return "number"


def identity(value: Json) -> tuple[str, Any]:
    """Two values are equal when their identities are: of one type, and the same text, number or instant."""
    kind = kind_of(value)
    return (kind, microseconds_of(str(value)) if kind == "timestamp" else value)


def same_document(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Equal, with true and 1 told apart."""
    return left.keys() == right.keys() and all(
        isinstance(left[name], bool) == isinstance(right[name], bool) and left[name] == right[name] for name in left
    )


# --- Import -----------------------------------------------------------------------------------------------------------


@dataclass
class Entity:
    created_at: datetime
    updated_at: datetime
    # name: (value, at). None is what a removal leaves: an older update can't bring the value back.
    values: dict[str, tuple[Json | None, datetime]] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Json]:
        return {name: value for name, (value, _) in self.values.items() if value is not None}


@dataclass
class Update:
    """A line of an import, or of what the tests make one from."""

    key: Key
    attributes: dict[str, Json | None]
    at: datetime | None = None
    created_at: datetime | None = None


@dataclass
class Store:
    """All entities of one tenant, updated line by line."""

    entities: dict[Key, Entity] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def apply(self, update: Update, *, mode: str, now: datetime) -> None:
        entity = self.entities.get(update.key)
        created = entity is None
        if entity is None:
            entity = Entity(created_at=update.created_at or update.at or now, updated_at=update.at or now)
            self.entities[update.key] = entity
        attributes = dict(update.attributes)
        if mode == "replace":
            attributes.update(dict.fromkeys(entity.document.keys() - attributes.keys()))
        changed = False
        # Without `at` an update is one of this moment, and wins: its instant is never older than the entity's newest.
        at = update.at or max(now, entity.updated_at)
        newest = entity.updated_at
        for name, value in attributes.items():
            stored = entity.values.get(name)
            if update.at is not None and stored is not None and update.at < stored[1]:
                continue
            changes = _differ(None if stored is None else stored[0], value)
            if changes or update.at is not None:
                entity.values[name] = (value, at)
                newest = max(newest, at)
            changed |= changes
        entity.updated_at = newest
        if update.created_at is not None and update.created_at != entity.created_at:
            entity.created_at = update.created_at
            changed = True
        self.counts["created" if created else "updated" if changed else "unchanged"] += 1

    def registry(self) -> dict[str, Counter[str]]:
        """name: {type: how many entities have a value of it}."""
        counts: dict[str, Counter[str]] = {}
        for entity in self.entities.values():
            for name, value in entity.document.items():
                counts.setdefault(name, Counter())[kind_of(value)] += 1
        return counts


def _differ(left: Json | None, right: Json | None) -> bool:
    return left != right or isinstance(left, bool) != isinstance(right, bool)


# --- Search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An entity as a search sees it."""

    entity_id: int
    entity_type: str
    external_id: str
    created_at: datetime
    updated_at: datetime
    attributes: dict[str, Json]

    def get(self, name: str) -> Json | None:
        """An attribute's value, or an own field's: these are always there."""
        match name:
            case "@created_at":
                return self.created_at.isoformat()
            case "@updated_at":
                return self.updated_at.isoformat()
            case "@entity_type":
                return self.entity_type
            case "@external_id":
                return self.external_id
            case _:
                return self.attributes.get(name)


def matches(row: Row, node: Any) -> bool:
    """Whether an entity satisfies a node of a `where`, as JSON."""
    match node:
        case {"all": nodes}:
            return all(matches(row, child) for child in nodes)
        case {"any": nodes}:
            return any(matches(row, child) for child in nodes)
        case {"at_least": n, "of": nodes}:
            return sum(matches(row, child) for child in nodes) >= int(n)
        case {"not": child}:
            return not matches(row, child)
        case [name, operator, *operand]:
            return _holds(row.get(name), operator, operand[0] if operand else None, is_own_text=name in OWN_TEXTS)
    raise AssertionError(node)


OWN_TEXTS = ("@entity_type", "@external_id")
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, operand: bool(value > operand),
    "ge": lambda value, operand: bool(value >= operand),
    "lt": lambda value, operand: bool(value < operand),
    "le": lambda value, operand: bool(value <= operand),
}


def _holds(value: Json | None, operator: str, operand: Any, *, is_own_text: bool) -> bool:
    if operator in {"exists", "missing"}:
        return (value is not None) == (operator == "exists")
    if value is None:
        return False
    # An own field has its type by what it is, whatever its text looks like.
    kind, content = ("string", value) if is_own_text else identity(value)
    if operator == "is_type":
        return bool(kind == operand)
    if operator in {"contains", "prefix"}:
        return kind == "string" and (
            operand in str(value) if operator == "contains" else str(value).startswith(operand)
        )
    if operator == "in":
        return any(_equal(kind, content, item, is_own_text=is_own_text) for item in operand)
    if operator in {"eq", "ne"}:
        return _equal(kind, content, operand, is_own_text=is_own_text) == (operator == "eq")
    operand_kind, wanted = identity(operand)
    return kind == operand_kind and ORDERED[operator](content, wanted)


def _equal(kind: str, content: Any, operand: Json, *, is_own_text: bool) -> bool:
    wanted = ("string", operand) if is_own_text and isinstance(operand, str) else identity(operand)
    return (kind, content) == wanted


def found(rows: Iterable[Row], body: dict[str, Any]) -> list[Row]:
    """Every entity that satisfies a search body, in its order."""
    where, match = body.get("where") or [], body.get("match", "all")
    if isinstance(where, list):
        needed = (
            {"all": len(where), "any": min(1, len(where))}.get(match) if isinstance(match, str) else match["at_least"]
        )
        where = {"at_least": needed, "of": where}
    order_by = body.get("order_by") or "-updated_at"
    field_name = order_by.removeprefix("-")
    kept = [
        row
        for row in rows
        if body.get("entity_type") in (None, row.entity_type) and matches(row, where)
    ]  # fmt: skip
    return sorted(kept, key=lambda row: (getattr(row, field_name), row.entity_id), reverse=order_by.startswith("-"))


# --- Aggregates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """key: its JSON value; value: of the function; count: how many values went into it."""

    key: Json | None
    value: Any
    count: int


def aggregate_of(rows: Iterable[Row], body: dict[str, Any]) -> list[Group]:
    """The groups of an aggregate body. In order of key; with `top` by value, largest first, ties by key."""
    fn, attribute, group_by = body["fn"], body.get("attribute"), body.get("group_by")
    search = {name: body.get(name) for name in ("entity_type", "where")}
    if "match" in body:
        search["match"] = body["match"]
    buckets: dict[Any, tuple[Json | None, list[Json]]] = {}
    if group_by is None:
        buckets[None] = (None, [])
    for row in found(rows, search):
        key: Json | None = None
        if group_by == "entity_type":
            key = row.entity_type
        elif group_by == "@created_at:day":
            key = row.created_at.astimezone(UTC).strftime("%Y-%m-%d")
        elif group_by is not None:
            key = row.attributes.get(group_by)
            if key is None:
                continue
        value = True if attribute is None else row.attributes.get(attribute)
        if value is None:
            continue
        if fn in NUMERIC and kind_of(value) != "number":
            continue
        name = None if group_by is None else identity(key) if key is not None else None
        buckets.setdefault(name, (key, []))[1].append(value)
    least = max(1, body.get("min_count") or 0) if group_by is not None else body.get("min_count") or 0
    groups = [Group(key, folded(fn, values), len(values)) for key, values in buckets.values() if len(values) >= least]
    groups.sort(key=lambda group: key_order(group.key))
    if "top" in body:
        groups.sort(key=_size, reverse=True)  # Stable: ties stay in order of key.
        del groups[body["top"] :]
    return groups


NUMERIC = {"avg", "min", "max", "median", "p95"}
_KINDS = ("string", "timestamp", "number", "boolean")


def key_order(key: Json | None) -> tuple[int, Any]:
    """Texts before numbers before booleans, each in its own order."""
    if key is None:
        return (-1, 0)
    return ({"string": 0, "timestamp": 0, "number": 1, "boolean": 2}[kind_of(key)], key)


def _size(group: Group) -> Any:
    return sum(group.value.values()) if isinstance(group.value, dict) else group.value


def folded(fn: str, values: list[Any]) -> Any:
    """Many values as one. null where there is none to speak of."""
    match fn:
        case "count":
            return len(values)
        case "distinct":
            return len({identity(value) for value in values})
        case "type_mix":
            return dict(Counter(kind_of(value) for value in values))
    if not values:
        return None
    match fn:
        case "avg":
            return float(sum(Fraction(value) for value in values) / len(values))
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "median":
            return percentile(values, Fraction(1, 2))
        case "p95":
            return percentile(values, Fraction(95, 100))
    raise AssertionError(fn)


def percentile(values: list[Any], share: Fraction) -> float:
    """The value at that share of the way through the sorted values, interpolated linearly between its neighbours."""
    ordered = sorted(Fraction(value) for value in values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
