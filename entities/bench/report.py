"""Figures of a benchmark, as people and programs read them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing. baseline: what the ratio is against; ratio: value / the baseline's value."""

    name: str
    value: float
    unit: str
    baseline: str = ""
    ratio: float | None = None


@dataclass(slots=True)
class Report:
    """facts: sizes, seeds, counts; figures: in the order in which they are printed."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, *, baseline: Figure | None = None) -> Figure:
        ratio = None if baseline is None or not baseline.value else value / baseline.value
        figure = Figure(name, value, unit, "" if baseline is None else baseline.name, ratio)
        self.figures.append(figure)
        return figure

    def as_dict(self) -> dict[str, Any]:
        return {"bench": self.name, "facts": self.facts, "figures": [asdict(figure) for figure in self.figures]}

    def lines(self) -> list[str]:
        """The report as text."""
        out = [f"{name}: {value}" for name, value in self.facts.items()]
        width = max((len(figure.name) for figure in self.figures), default=0)
        for figure in self.figures:
            text = f"{figure.name:<{width}}  {figure.value:>12,.3f} {figure.unit}"
            if figure.ratio is not None:
                text += f"   = {figure.ratio:,.4g} × {figure.baseline}"
            out.append(text)
        return out


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
