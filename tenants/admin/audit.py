"""The audit log on a page, narrowed by who, what, whom and when; and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from atlasco.lib import clock
from atlasco.lib.clock import iso
from tenants.admin.forms import AuditFilterForm
from tenants.admin.pages import TenantPage
from tenants.audit import EXPORT_STEP, AuditFilter, audit_actions, audit_page
from tenants.binding import public_bind
from tenants.members.models import Role
from tenants.models import AuditEntry

PAGE_SIZE: Final = 50
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
_COLUMNS: Final = ("at", "actor_kind", "actor", "action", "subject", "via", "ip", "request_id", "before", "after")


class _AuditPage(TenantPage):
    """On a tenant's pages that tenant's log; on the public host, outside of any tenant, the platform's own."""

    role_required = Role.ADMIN
    nav = "audit"
    chooser = True

    def choose(self, request: HttpRequest) -> HttpResponseBase:
        return self.get(request)

    def get(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError

    def reading(self) -> AbstractContextManager[object]:
        """Bind whose log it is."""
        return self.scope.bind() if hasattr(self, "scope") else public_bind()


class AuditLog(_AuditPage):
    """Newest first, a page at a time."""

    title = "Audit log"
    template_name = "atlasco/audit/list.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        form = AuditFilterForm(request.GET)
        wanted, chosen = _filter(form)
        with self.reading():
            entries, more = audit_page(wanted=wanted, before=_cursor(request.GET.get("before", "")), limit=PAGE_SIZE)
            actions = audit_actions()
        query = urlencode(chosen)
        return self.render(
            form=form,
            chosen=chosen,
            query=query,
            rows=[(entry, _changes(entry)) for entry in entries],
            actions=actions,
            is_first="before" not in request.GET,
            first_query=query,
            next_query=urlencode({**chosen, "before": f"{iso(more[0])}~{more[1]}"}) if more else "",
        )


class AuditExport(_AuditPage):
    """Everything that the filter finds, as a file that is written while it is read."""

    title = "Audit log"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        kind = "ndjson" if request.GET.get("format") == "ndjson" else "csv"
        wanted, _ = _filter(AuditFilterForm(request.GET))
        name = self.scope.tenant.slug if hasattr(self, "scope") else "platform"
        lines = _csv(self._entries(wanted)) if kind == "csv" else _ndjson(self._entries(wanted))
        stamp = clock.now().strftime("%Y%m%d-%H%M%S")
        return StreamingHttpResponse(
            lines,
            content_type=FORMATS[kind],
            headers={"Content-Disposition": f'attachment; filename="audit-{name}-{stamp}.{kind}"'},
        )

    def _entries(self, wanted: AuditFilter) -> Iterator[list[AuditEntry]]:
        before: tuple[datetime, int] | None = None
        while True:
            # Bound a step at a time: whoever takes the lines is not.
            with self.reading():
                entries, before = audit_page(wanted=wanted, before=before, limit=EXPORT_STEP)
            yield entries
            if before is None:
                return


def _filter(form: AuditFilterForm) -> tuple[AuditFilter, dict[str, str]]:
    """What was asked for, and how it stands in an address. A value that makes no sense narrows nothing."""
    form.is_valid()
    data = {name: value for name, value in form.cleaned_data.items() if value}
    since, until = data.get("since"), data.get("until")
    wanted = AuditFilter(
        actor=data.get("actor", ""),
        action=data.get("action", ""),
        subject=data.get("subject", ""),
        since=datetime.combine(since, time(), UTC) if since else None,
        until=datetime.combine(until, time(), UTC) + timedelta(days=1) if until and until < date.max else None,
    )
    return wanted, {name: str(value) for name, value in data.items()}


def _cursor(text: str) -> tuple[datetime, int] | None:
    at, _, audit_id = text.partition("~")
    try:
        instant = datetime.fromisoformat(at)
        return (instant, int(audit_id)) if instant.tzinfo is not None and 0 < int(audit_id) < 2**63 else None
    except ValueError:
        return None


def _changes(entry: AuditEntry) -> list[tuple[str, Any, Any, bool, bool]]:
    """Each changed member: name, before, after, and which of the two there are."""
    old, new = entry.before or {}, entry.after or {}
    return [(key, old.get(key), new.get(key), key in old, key in new) for key in {**old, **new}]


def _facts(entry: AuditEntry) -> dict[str, Any]:
    return {name: iso(entry.at) if name == "at" else getattr(entry, name) for name in _COLUMNS}


def _ndjson(pages: Iterator[list[AuditEntry]]) -> Iterator[bytes]:
    for entries in pages:
        yield b"".join(orjson.dumps(_facts(entry), option=orjson.OPT_APPEND_NEWLINE) for entry in entries)


def _csv(pages: Iterator[list[AuditEntry]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for entries in pages:
        writer.writerows([_cell(value) for value in _facts(entry).values()] for entry in entries)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    # A name that begins like a formula would be run as one by the program that opens the file.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
