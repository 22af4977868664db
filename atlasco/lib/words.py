"""Words that several pages need."""

from __future__ import annotations

from typing import Final

# What people call the types of values; the names are the API's.
TYPE_WORDS: Final = {"string": "text", "number": "number", "boolean": "true or false", "timestamp": "date and time"}


def size_text(size: int) -> str:
    """Bytes as people read them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
