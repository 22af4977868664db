"""Documents that every match contains at least one of: what the index of documents is asked. Pure, no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb
from typing import Final, TypeAlias

import orjson

from entities.search.costs import GIN_MS_PER_POSTING, fetch_ms
from entities.search.estimate import all_share, condition_share
from entities.search.query import OWN_FIELDS, AtLeast, Condition, Node
from entities.search.statistics import TenantStatistics
from entities.values import Value, value_type

# Beyond this many alternatives a GIN search is as much work as a scan.
CONTAINMENTS_MAX: Final = 24
# Of a common value's postings, a rarer value's lets so many be skipped.
_SKIPPED_BEYOND: Final = 3

Document: TypeAlias = dict[str, Value]


@dataclass(frozen=True, slots=True)
class LookUp:
    """documents: what is looked up; postings: how many that reads; rows: documents that it is expected to find."""

    documents: tuple[Document, ...]
    postings: float
    rows: float


def look_up(documents: Sequence[Document], statistics: TenantStatistics) -> LookUp:
    """How the index of documents is best asked for whatever contains one of these."""
    size = max(statistics.entities, 1)
    postings, rows = 0.0, 0.0
    kept: dict[bytes, Document] = {}
    for document in documents:
        chosen, read = _narrowed(document, statistics)
        text = orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS)
        if text not in kept:
            kept[text] = chosen
            postings += read
            rows += size * all_share([Condition(name, "eq", value) for name, value in chosen.items()], statistics)
    return LookUp(tuple(kept.values()), postings, min(rows, size))


def _narrowed(document: Document, statistics: TenantStatistics) -> tuple[Document, float]:
    """The part of the document that is worth looking up, rarest values first, and how many postings that reads.

    A common value's postings cost more to read than the documents that they would spare.
    """
    size = max(statistics.entities, 1)
    conditions = sorted(
        (Condition(name, "eq", value) for name, value in document.items()),
        key=lambda condition: condition_share(condition, statistics),
    )
    chosen = conditions[:1]
    postings = rows = condition_share(conditions[0], statistics) * size
    for condition in conditions[1:]:
        read = min(condition_share(condition, statistics) * size, _SKIPPED_BEYOND * rows)
        left = all_share([*chosen, condition], statistics) * size
        if GIN_MS_PER_POSTING * read < fetch_ms(rows, size) - fetch_ms(left, size):
            chosen.append(condition)
            postings, rows = postings + read, left
    return {condition.attribute: document[condition.attribute] for condition in chosen}, postings


def containments(node: Node) -> list[Document] | None:
    """Documents such that every match contains at least one of them; None where no such short list exists.

    An equality of a timestamp is not a containment: one instant has several spellings.
    """
    match node:
        case Condition(attribute=name) if name in OWN_FIELDS:
            return None
        case Condition(attribute=name, operator="eq", value=str() | int() | float() as value):
            return [{name: value}] if _contained(value) else None
        case Condition(attribute=name, operator="in", value=tuple() as values):
            return (
                [{name: item} for item in values]
                if len(values) <= CONTAINMENTS_MAX and all(map(_contained, values))
                else None
            )
        case AtLeast(n=n, nodes=nodes) if n > 0:
            return _containments_of_branch(n, nodes)
        case _:
            return None


def _containments_of_branch(n: int, nodes: tuple[Node, ...]) -> list[Document] | None:
    lists = [found for child in nodes if (found := containments(child)) is not None]
    # So many of the ones that we can look up must hold, even if all others do.
    needed = n - (len(nodes) - len(lists))
    if needed < 1:
        return None
    # By their JSON text: to Python, 1 and true are equal.
    merged_by_text: dict[bytes, Document] = {}
    # Bounded before it is begun: C(40, 10) ways of which every one contradicts itself would never end.
    if comb(len(lists), needed) > CONTAINMENTS_MAX:
        return None
    for chosen in combinations(sorted(lists, key=len), needed):
        # Merging narrows the search; too many ways to merge: one of the lists alone must hold as well.
        if len(merged_by_text) > CONTAINMENTS_MAX:
            return None
        ways = 1
        kept: list[list[Document]] = []
        for documents in chosen:
            if kept and ways * len(documents) > CONTAINMENTS_MAX:
                break
            ways *= len(documents)
            kept.append(documents)
        for parts in product(*kept):
            merged = _merge(parts)
            if merged is not None:
                merged_by_text[orjson.dumps(merged, option=orjson.OPT_SORT_KEYS)] = merged
    return list(merged_by_text.values()) if 0 < len(merged_by_text) <= CONTAINMENTS_MAX else None


def _merge(parts: tuple[Document, ...]) -> Document | None:
    """All of the documents at once; None where they contradict each other."""
    merged: Document = {}
    for part in parts:
        for name, value in part.items():
            if name in merged and (merged[name] != value or isinstance(merged[name], bool) != isinstance(value, bool)):
                return None
            merged[name] = value
    return merged


def _contained(value: Value) -> bool:
    return value_type(value) != "timestamp"
