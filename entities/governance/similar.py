"""Names that are probably one: `serial_no`, `SerialNo`, `serial-number`. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

PAIRS_MAX: Final = 500
_ALIKE: Final = 0.6
# A group of names with so many members of one key says nothing about any pair.
_GROUP_MAX: Final = 40
_DIGITS: Final = re.compile(r"\d+")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
# What people shorten; only where it stands as a word of its own.
_LONG: Final = {
    "no": "number", "nr": "number", "num": "number", "desc": "description", "addr": "address", "mfr": "manufacturer",
    "mfg": "manufacturer", "qty": "quantity", "temp": "temperature", "loc": "location", "org": "organization",
    "dept": "department", "ver": "version", "cfg": "config", "src": "source", "dst": "destination", "ts": "timestamp",
    "lat": "latitude", "lon": "longitude", "lng": "longitude", "alt": "altitude", "freq": "frequency",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Two names that are probably one. name: the one with more values, which would stay; likeness: 0 to 1."""

    name: str
    other: str
    likeness: float
    why: str


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, however they are set apart, the shortened ones in full."""
    return tuple(_LONG.get(word.lower(), word.lower()) for word in _WORDS.findall(name))


def similar_pairs(names: Mapping[str, tuple[int, str | None]]) -> list[Pair]:
    """Pairs of names that are probably one, the likeliest first.

    names: {name: (entities that have it, the type of most of its values)}. Names of other types are not a pair; nor are
    those that differ in a number: `port_1` and `port_2` are a series.
    """
    alike: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for name, (_, kind) in names.items():
        alike[kind, " ".join(_DIGITS.findall(name))].append(name)
    found = [pair for group in alike.values() if len(group) > 1 for pair in _pairs(group, names)]
    return sorted(found, key=lambda pair: (-pair.likeness, pair.name, pair.other))[:PAIRS_MAX]


def _pairs(group: Sequence[str], names: Mapping[str, tuple[int, str | None]]) -> Iterable[Pair]:
    found: dict[frozenset[str], Pair] = {}

    def note(one: str, two: str, likeness: float, why: str) -> None:
        name, other = sorted((one, two), key=lambda name: (-names[name][0], name))
        found.setdefault(frozenset((one, two)), Pair(name, other, round(likeness, 3), why))

    by_words: dict[str, list[str]] = defaultdict(list)
    trigrams: dict[str, frozenset[str]] = {}
    for name in group:
        words = name_words(name)
        by_words["".join(words)].append(name)
        text = f"  {' '.join(words)} "
        trigrams[name] = frozenset(text[at : at + 3] for at in range(len(text) - 2))
    for same in by_words.values():
        if len(same) <= _GROUP_MAX:
            for one, two in combinations(same, 2):
                note(one, two, 1.0, "the same words")
    for one, two in _candidates(trigrams):
        common = len(trigrams[one] & trigrams[two])
        likeness = common / (len(trigrams[one]) + len(trigrams[two]) - common)
        if likeness >= _ALIKE:
            note(one, two, likeness, "nearly the same letters")
    return found.values()


def _candidates(trigrams: Mapping[str, frozenset[str]]) -> Iterable[tuple[str, str]]:
    """Pairs that share one of their rarest trigrams: two sets can't be alike without (prefix filtering)."""
    frequency: dict[str, int] = defaultdict(int)
    for grams in trigrams.values():
        for gram in grams:
            frequency[gram] += 1
    holders: dict[str, list[str]] = defaultdict(list)
    for name, grams in trigrams.items():
        rarest = sorted(grams, key=lambda gram: (frequency[gram], gram))
        # Alike in _ALIKE of all: at most so many of one's own may be missing in the other.
        for gram in rarest[: len(rarest) - int(len(rarest) * _ALIKE) + 1]:
            holders[gram].append(name)
    seen: set[tuple[str, str]] = set()
    for group in holders.values():
        if len(group) > _GROUP_MAX:
            continue
        for pair in combinations(group, 2):
            if pair not in seen:
                seen.add(pair)
                yield pair
