"""How the pages write numbers, instants and links. `{% load atlasco %}`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from django import template
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from atlasco.lib.words import TYPE_WORDS, size_text
from tenants.admin.pages import TenantScope

register = template.Library()

# Full date-times with zone; what else there is, the data plane has judged already.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d(:?\d\d)?)\Z")
_STYLES = {"minute": "%Y-%m-%d %H:%M UTC", "second": "%Y-%m-%d %H:%M:%S UTC", "day": "%Y-%m-%d", "time": "%H:%M:%S UTC"}
_KINDS = {"about": "about ", "over": "over "}


@register.filter
def number(value: float | None) -> str:
    """12345 as 12,345; nothing as a dash."""
    return "–" if value is None else number_format(value, use_l10n=True, force_grouping=True)


@register.filter
def figure(value: float | None) -> str:
    """A computed number with as many digits as anybody reads: 1234.5678 as 1,234.568; nothing as a dash."""
    if value is None:
        return "–"
    if abs(value) >= 1e15 or 0 < abs(value) < 0.001:
        return f"{value:.4g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


@register.filter
def count(value: Any) -> str:
    """A Count in words: `11,008`, `about 23,000`, `over 10,000`. An estimate keeps three digits: it knows no more."""
    shown = value.number
    if value.kind == "about" and shown >= 1000:
        step = 10 ** (len(str(shown)) - 3)
        shown = round(shown / step) * step
    prefix = _KINDS.get(value.kind, "") if shown else ""
    return f"{prefix}{number(shown)}"


@register.filter
def percent(share: float | None) -> str:
    """0.1234 as 12.3 %; nothing as a dash. What is not quite nothing or all is never shown as such."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f}".removesuffix(".0") + " %"


@register.filter
def size(value: int) -> str:
    """Bytes as people read them: 1500 as 1.5 kB."""
    return size_text(value)


# In order: Edge and Opera call themselves Chrome too, and Chrome Safari.
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
            ("Linux", "Linux"))  # fmt: skip


@register.filter
def browser(user_agent: str) -> str:
    """Which browser on which system says so of itself: `Firefox on Linux`."""
    name = next((word for mark, word in _BROWSERS if mark in user_agent), "Another program")
    system = next((word for mark, word in _SYSTEMS if mark in user_agent), "")
    return f"{name} on {system}" if system else name


@register.filter
def json_text(value: Any) -> str:
    """A value as JSON writes it, but a text without its quotes: for people who compare two of them."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@register.simple_tag
def when(instant: datetime | None, empty: str = "never", style: str = "minute") -> str | SafeString:
    """An instant: UTC in the page, which the script turns into the reader's zone and leaves UTC in the tooltip.

    style: "minute"; "second" where the order matters; "day" where a table has little room; "time" for a moment ago.
    """
    if instant is None:
        return empty
    utc = instant.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-when="{}">{}</time>',
        utc.isoformat().replace("+00:00", "Z"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
        style,
        utc.strftime(_STYLES[style]),
    )


@register.simple_tag(takes_context=True)
def scope_url(context: template.Context, name: str, **kwargs: Any) -> str:
    """The path of a page of the tenant this page is about, on the host where we are."""
    scope: TenantScope = context["scope"]
    return scope.url(name, **kwargs)


@register.simple_tag(takes_context=True)
def host_url(context: template.Context, host: str) -> str:
    """The address of another host of this installation: scheme and port are those of the request."""
    request: HttpRequest = context["request"]
    port = urlsplit(f"//{request.get_host()}").port
    return f"{request.scheme}://{host}{f':{port}' if port else ''}"


@register.filter
def type_segments(types: dict[str, int], whole: int) -> list[dict[str, Any]]:
    """The parts of a bar that is 100 wide for `whole` entities, largest first: `{type, count, x, width}`."""
    whole = max(whole, sum(types.values()), 1)
    segments, x = [], 0.0
    for kind, entities in sorted(types.items(), key=lambda item: (-item[1], item[0])):
        # Never thinner than can be seen.
        width = max(entities / whole * 100, 0.8)
        segments.append({"type": kind, "count": entities, "x": f"{x:.2f}", "width": f"{width:.2f}"})
        x += width
    return segments


@register.filter
def total(types: dict[str, int]) -> int:
    """The sum of a mapping's numbers."""
    return sum(types.values())


@register.filter
def value_kind(value: Any) -> str:
    """The type of a value, as the data plane calls it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "timestamp" if _INSTANT.match(value) else "string"
    return "number"


@register.filter
def type_word(kind: str) -> str:
    """What people call a type of values: text for string."""
    return TYPE_WORDS.get(kind, kind)


@register.filter
def value_show(value: Any) -> str:
    """A value as JSON people write it: true, not True; numbers ungrouped."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


@register.filter
def import_rejected(job: Any) -> int:
    """How many lines an import left out."""
    summary = job.summary or {}
    return len(summary.get("rejected", ())) + int(summary.get("rejected_not_listed", 0))


@register.filter
def document_value(document: str, name: str) -> str:
    """One value of an entity's document, which is JSON text, as people write it."""
    value = json.loads(document).get(name)
    return "–" if value is None else value_show(value)
