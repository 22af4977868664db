"""`bench pages`: every page of the admin, as long as its reader waits for it, and what it asks the databases.

How long: over HTTP, of the web process. What it asks: the same page in this process, with every statement timed. The
baseline is the shell with nothing in it: the saved searches of a member who has none.
"""

from __future__ import annotations

import http.client
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from atlasco.lib.clock import now
from entities.bench.fill import fleet_filled, tables_settle
from entities.bench.patch import web_port
from entities.bench.report import Figure, Report, median, percentile
from tenants.binding import public_bind, tenant_bind
from tenants.members.models import Role, User
from tenants.models import Tenant
from tenants.selectors import TenantUnknown, tenant_get
from tenants.services import member_create, platform_admin_ensure, tenant_host

DEMO: Final = "ua"
BASELINE: Final = "entities/searches/"
STATEMENT_MAX_MS: Final = 50.0
SLOWEST_SHOWN: Final = 10
_IN_PROCESS: Final = 7
# What does something when it is asked for, streams, or leaves the site.
_NO_PAGES: Final = ("export/", "download/", "logout", "act/", "stream", "login", "password")


@dataclass(slots=True)
class Measured:
    """One page. ms: of each request over HTTP; statements: how many a page asks; slowest: the statement, its ms."""

    path: str
    ms: list[float] = field(default_factory=list)
    statements: int = 0
    slowest_ms: float = 0.0
    slowest: str = ""


@dataclass(slots=True)
class Reader:
    """Somebody logged in on one host, in this process and over HTTP."""

    host: str
    client: Client
    headers: dict[str, str]

    def get(self, path: str) -> Any:
        return self.client.get(f"/admin/{path}")


def pages_bench(
    *, entities: int, requests: int, statistics: Callable[[Tenant], None], progress: Callable[[int], None]
) -> Report:
    """Measure. requests: of each page; statistics: recomputes a tenant's. Raises WebNotFound."""
    port = web_port()
    tenant = fleet_filled(entities=entities, progress=progress)
    tables_settle()
    with tenant_bind(tenant):
        statistics(tenant)
    report = Report("pages", {"entities": entities, "requests of each page": requests})
    with ExitStack() as stack:
        kinds = [(f"{entities:,} entities", stack.enter_context(_member(tenant)), tenant_paths(tenant))]
        try:
            demo = tenant_get(slug=DEMO)
        except TenantUnknown:
            report.facts["demo"] = "not loaded"
        else:
            kinds.append(("demo", stack.enter_context(_member(demo)), tenant_paths(demo)))
        kinds.append(("platform", stack.enter_context(_platform_admin()), platform_paths(tenant)))
        baseline: Figure | None = None
        for kind, reader, paths in kinds:
            measured = [page for path in paths if (page := _asked(reader, path)) is not None]
            _timed(port, reader, measured, requests=requests)
            if baseline is None:
                [shell] = [page for page in measured if page.path == BASELINE]
                baseline = report.add(f"{BASELINE} of nobody's, p95", percentile(shell.ms, 0.95), "ms")
            _report(report, kind, measured, baseline)
    return report


def _report(report: Report, kind: str, measured: list[Measured], baseline: Figure) -> None:
    by_p95 = sorted(measured, key=lambda page: -percentile(page.ms, 0.95))
    report.facts[f"pages, {kind}"] = len(measured)
    for place, page in enumerate(by_p95[:SLOWEST_SHOWN]):
        word = "the slowest page's p95" if not place else "p95"
        report.add(f"{kind}: {word}, {page.path or 'home'}", percentile(page.ms, 0.95), "ms", baseline=baseline)
    report.add(
        f"{kind}: p95 of all pages",
        percentile([ms for page in measured for ms in page.ms], 0.95),
        "ms",
        baseline=baseline,
    )
    most = max(measured, key=lambda page: page.statements)
    report.add(f"{kind}: most statements, {most.path or 'home'}", most.statements, "")
    slowest = sorted(measured, key=lambda page: -page.slowest_ms)
    report.add(f"{kind}: slowest statement, {slowest[0].path or 'home'}", slowest[0].slowest_ms, "ms")
    for page in slowest[:SLOWEST_SHOWN]:
        if page.slowest_ms >= STATEMENT_MAX_MS:
            report.facts[f"{kind}, over {STATEMENT_MAX_MS:.0f} ms, {page.path or 'home'}"] = (
                f"{page.slowest_ms:.1f} ms: {page.slowest}"
            )


# --- Which pages ------------------------------------------------------------------------------------------------------


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    """The routes of a URL configuration that are written as `path()`."""
    for entry in patterns:
        if isinstance(entry.pattern, RoutePattern):
            here = f"{prefix}{entry.pattern}"
            if isinstance(entry, URLResolver):
                yield from routes(entry.url_patterns, here)
            elif isinstance(entry, URLPattern):
                yield here


def tenant_paths(tenant: Tenant) -> list[str]:
    """The pages on a tenant's host, and what people ask of its browser: sorts, filters, look-ups, deep pages."""
    with tenant_bind(tenant), connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT entity_id, external_id, entity_type, attributes FROM entities WHERE tenant_id = %s"
            " ORDER BY updated_at DESC LIMIT 1",
            (tenant.pk,),
        )
        entity_id, external_id, entity_type, document = cursor.fetchone()
        document = orjson.loads(document) if isinstance(document, str) else document
    name = min((name for name, value in document.items() if isinstance(value, str)), default="status")
    text = quote(str(document.get(name, "active")))
    number = min((name for name, value in document.items() if isinstance(value, float | int)), default="cost")
    asked = [
        *(
            f"sort={sign}{key}"
            for key in ("updated_at", "created_at", "external_id", "entity_id")
            for sign in ("", "-")
        ),
        f"type={entity_type}",
        f"q={quote(external_id[:2])}",
        f'where=[["{name}","eq","{text}"]]',
        f'where=[["{number}","gt",1]]&sort=external_id',
        f'where={{"at_least":2,"of":[["{name}","eq","{text}"],["{number}","gt",5],["nobody","exists"]]}}',
        'where=[["nobody","exists"]]',
    ]
    found = [
        *(f"entities/?{query}" for query in asked),
        *(f"entities/count/?{query}" for query in asked if query.startswith(("where", "type"))),
        f"entities/{entity_id}/",
        f"entities/{entity_id}/history/",
        f"entities/{entity_id}/edit/",
        f"attributes/one/?name={quote(name)}",
        f"attributes/one/?name={quote(number)}",
        f"attributes/one/rule/?name={quote(name)}",
        f"attributes/one/rename/?name={quote(name)}&target={quote(number)}",
        "attributes/?q=a",
        f"analytics/?attribute={quote(number)}",
        f"entities/names/?part={quote(name[:2])}",
        f"entities/values/?name={quote(name)}&part={text[:2]}",
        f'entities/bulk/new/?where=[["{name}","eq","{text}"]]',
        f'entities/exports/new/?where=[["{name}","eq","{text}"]]',
    ]
    return [*_plain(), *found]


def platform_paths(tenant: Tenant) -> list[str]:
    """The pages of the public host; of those about one tenant, the ones that only platform admins have, too."""
    below = [f"tenants/{tenant.slug}/{rest}" for rest in ("", "quotas/", "audit/", "members/", "usage/", "entities/")]
    return [*_plain(), *below, "tenants/?q=bench"]


def _plain() -> list[str]:
    found = []
    for route in routes(get_resolver().url_patterns):
        path = route.removeprefix("admin/")
        if not route.startswith("admin/") or "<" in path or any(part in path for part in _NO_PAGES):
            continue
        found.append(path)
    return list(dict.fromkeys(found))


# --- Who asks ---------------------------------------------------------------------------------------------------------


@contextmanager
def _member(tenant: Tenant) -> Iterator[Reader]:
    """An admin of the tenant, as long as one is needed."""
    user = member_create(
        tenant=tenant,
        username=f"bench-{secrets.token_hex(4)}",
        password=secrets.token_urlsafe(24),
        role=Role.ADMIN,
        now=now(),
    )
    try:
        with tenant_bind(tenant):
            reader = _reader(tenant_host(slug=tenant.slug), user)
        yield reader
    finally:
        with tenant_bind(tenant):
            user.delete()


@contextmanager
def _platform_admin() -> Iterator[Reader]:
    name = f"bench-{secrets.token_hex(4)}"
    platform_admin_ensure(username=name, password=secrets.token_urlsafe(24), now=now())
    with public_bind():
        user = User.objects.using("default").get(username=name)
    try:
        with public_bind():
            reader = _reader(settings.BASE_DOMAIN, user)
        yield reader
    finally:
        with public_bind():
            user.delete()


def _reader(host: str, user: User) -> Reader:
    client = Client(SERVER_NAME=host)
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return Reader(host, client, {"Host": host, "Cookie": cookies})


# --- Measuring --------------------------------------------------------------------------------------------------------


def _asked(reader: Reader, path: str) -> Measured | None:
    """The page with what it asks the databases; None where it is not a page here: POST only, or of another host."""
    if reader.get(path).status_code != 200:
        return None
    page, times, texts = Measured(path), dict[str, list[float]](), Counter[int]()
    for _ in range(_IN_PROCESS):
        statements = list[tuple[str, float]]()

        def timed(execute: Any, sql: Any, params: Any, many: bool, context: Any, into: Any = statements) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                into.append((str(sql), (time.perf_counter() - began) * 1000))

        with ExitStack() as stack:
            for connection in connections.all():
                stack.enter_context(connection.execute_wrapper(timed))
            reader.get(path)
        texts[len(statements)] += 1
        for sql, ms in statements:
            times.setdefault(" ".join(sql.split())[:200], []).append(ms)
    page.statements = max(texts)
    if times:
        page.slowest, slowest = max(times.items(), key=lambda pair: median(pair[1]))
        page.slowest_ms = median(slowest)
    return page


def _timed(port: int, reader: Reader, pages: list[Measured], *, requests: int) -> None:
    """Ask for every page in turn, so many times after one to warm caches, on one connection as a browser keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for turn in range(requests + 1):
        for page in pages:
            began = time.perf_counter()
            connection.request("GET", quote(f"/admin/{page.path}", safe="/?&=%[]"), headers=reader.headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{page.path or 'home'}: {answer.status}")
            if turn:
                page.ms.append((time.perf_counter() - began) * 1000)
    connection.close()
