"""Random entities and random queries over them: few names and few values, so that conditions hold now and then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.entities.model import Update

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ["a", "b", "c:d e/f", "%s"]
OWN_FIELDS = ["@created_at", "@updated_at", "@entity_type", "@external_id"]
TYPES = ["lamp", "chair"]
EXTERNAL_IDS = ["1", "2", "10", "a", "é", "A b", "2026-01-01T00:00:00Z"]
NUMBERS = [0, 1, 1.0, 2, 10, -1, 0.1, 2**53, 2**53 + 1, 1e300, -1e300]
# The same instants in several spellings, and a fraction between two of them.
INSTANTS = [
    "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-02T00:00:00-00:00", "2026-01-01T00:00:00.500000Z",
    "1999-12-31T23:59:59.999999+14:00",
]  # fmt: skip
TEXTS: list[str] = [
    "",
    "a",
    "A",
    "ab",
    "b",
    "é",
    "1",
    "1.0",
    "true",
    "%",
    "_",
    "\\",
    "'",
    '"',
    "a\nb",
    "2026-01-01",
    "2026-01-01T00:00:00",
]

values = st.sampled_from([True, False, *NUMBERS, *INSTANTS, *TEXTS])
names = st.sampled_from(NAMES)
updates = st.builds(
    Update,
    key=st.tuples(st.sampled_from(TYPES), st.sampled_from(EXTERNAL_IDS)),
    attributes=st.dictionaries(names, values, max_size=4),
    # Few instants: entities that were updated at the same one must still have an order.
    at=st.sampled_from([T0, T0 + timedelta(hours=1), T0 + timedelta(days=1, microseconds=1)]),
    created_at=st.sampled_from([None, T0 - timedelta(days=1), T0 - timedelta(days=1, seconds=1)]),
)
entities = st.lists(updates, min_size=1, max_size=14, unique_by=lambda update: update.key)
crowds = st.lists(updates, min_size=8, max_size=14, unique_by=lambda update: update.key)


def _condition(field: st.SearchStrategy[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.one_of(
        st.tuples(field, st.sampled_from(["exists", "missing"])),
        st.tuples(field, st.sampled_from(["eq", "ne"]), operands),
        st.tuples(field, st.just("in"), st.lists(operands, min_size=1, max_size=4)),
        st.tuples(field, st.sampled_from(["gt", "ge", "lt", "le"]), st.sampled_from([*NUMBERS, *INSTANTS])),
        st.tuples(
            field, st.sampled_from(["contains", "prefix"]), st.sampled_from([*TEXTS, "2026-01-01T00:00:00Z", "2026"])
        ),
        st.tuples(field, st.just("is_type"), st.sampled_from(["string", "number", "boolean", "timestamp"])),
    ).map(list)


conditions = st.one_of(
    _condition(names, values),
    _condition(names, values),
    _condition(st.sampled_from(OWN_FIELDS), st.one_of(values, st.sampled_from([*TYPES, *EXTERNAL_IDS]))),
)


def _branches(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(nodes, min_size=1, max_size=4)
    return st.one_of(
        st.fixed_dictionaries({"all": st.lists(nodes, max_size=3)}),
        st.fixed_dictionaries({"any": listed}),
        listed.flatmap(lambda of: st.fixed_dictionaries({"at_least": st.integers(0, len(of)), "of": st.just(of)})),
        st.fixed_dictionaries({"not": nodes}),
    )


trees = st.recursive(conditions, _branches, max_leaves=8)
# What an index can look up: equalities and ranges, combined.
look_ups = st.recursive(
    st.one_of(
        st.tuples(names, st.just("eq"), values),
        st.tuples(names, st.just("in"), st.lists(values, min_size=1, max_size=3)),
        st.tuples(names, st.sampled_from(["gt", "ge", "lt", "le"]), st.sampled_from([*NUMBERS, *INSTANTS])),
        st.tuples(
            st.just("@external_id"), st.just("in"), st.lists(st.sampled_from(EXTERNAL_IDS), min_size=1, max_size=3)
        ),
    ).map(list),
    lambda nodes: st.one_of(
        st.fixed_dictionaries({"all": st.lists(nodes, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(nodes, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"at_least": st.just(2), "of": st.lists(nodes, min_size=2, max_size=4)}),
    ),
    max_leaves=6,
)


@st.composite
def wheres(draw: st.DrawFn, nodes: st.SearchStrategy[Any] = trees) -> dict[str, Any]:
    """The members of a body that say which entities."""
    body: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        body["entity_type"] = draw(st.sampled_from([*TYPES, "nothing"]))
    if draw(st.booleans()):
        body["where"] = draw(nodes)
        if isinstance(body["where"], list):
            body["where"] = [body["where"]]
    else:
        body["where"] = draw(st.lists(nodes, max_size=4))
        how = [None, "all", "any", {"at_least": draw(st.integers(0, len(body["where"])))}]
        match = draw(st.sampled_from(how))
        if match is not None:
            body["match"] = match
    return body


@st.composite
def searches(draw: st.DrawFn, nodes: st.SearchStrategy[Any] = trees) -> dict[str, Any]:
    """A search body without limit and cursor."""
    body = draw(wheres(nodes))
    field = draw(st.sampled_from([None, "updated_at", "created_at", "entity_id", "external_id"]))
    if field is not None:
        body["order_by"] = draw(st.sampled_from(["", "-"])) + field
    fields = draw(st.one_of(st.none(), st.lists(st.sampled_from([*NAMES, "unknown"]), max_size=3)))
    if fields is not None:
        body["fields"] = fields
    body["count"] = draw(st.sampled_from(["none", "exact", "estimate"]))
    return body
