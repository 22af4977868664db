"""Binds the tenant of each request: by its token under /api/, by its host everywhere else."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from atlasco.lib import clock
from atlasco.lib.errors import Invalid, NotFound, Problem
from atlasco.lib.problem import problem_headers, problem_http_response
from tenants.actors import origin_bind, origin_of_request
from tenants.binding import public_bind, tenant_bind
from tenants.directory import tenant_by_host, tenant_by_id
from tenants.errors import Forbidden, Unauthorized
from tenants.members.models import ApiToken
from tenants.models import Tenant
from tenants.selectors import TokenUnusable, token_find
from tenants.tokens import TokenText, token_parse

API_PREFIX: Final = "/api/"


class HostRefused(Invalid):
    """The Host header is none of this installation's names (ATLASCO_ALLOWED_HOSTS)."""

    code = "host_refused"


class HostUnknown(NotFound):
    """Nobody answers on this host name."""

    code = "host_unknown"


class WrongHost(Forbidden):
    """The token belongs to another tenant than the host."""

    code = "wrong_host"


class TenantSuspended(Forbidden):
    """This tenant is suspended. Its data is kept; ask the people who run this installation."""

    code = "tenant_suspended"


class TokenMalformed(Unauthorized):
    """The Authorization header must read `Bearer TOKEN`, with a token as `create_token` prints it."""

    code = "malformed_token"
    challenge = 'Bearer realm="atlasco", error="invalid_token"'


class TenantMiddleware:
    """Sets `request.tenant` (None on a public host) and binds it until the answer has been sent.

    # Note [Tokens at the door]
    A token that was sent is looked up here, before anything is bound or said: whatever a made-up one asks for, also a
    path that needs none, its answer is the same 401, so it can't tell which tenants there are. `request.api_token` is
    the one that was accepted, None where none was sent; views ask for it by TokenAuthentication.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            tenant, token = request_tenant(request)
        except Problem as problem:
            return _answer(request, problem)
        request.tenant = tenant  # type: ignore[attr-defined]  # As django-tenants has it.
        request.api_token = token  # type: ignore[attr-defined]  # See Note [Tokens at the door].
        binding: AbstractContextManager[object] = public_bind() if tenant is None else tenant_bind(tenant)
        with binding:
            response = self.get_response(request)
            if isinstance(response, StreamingHttpResponse) and isinstance(response.streaming_content, Iterator):
                # Its body is made after we have returned, and must be made for the same tenant.
                response.streaming_content = _in_context(contextvars.copy_context(), response.streaming_content)
        return response


class OriginMiddleware:
    """Says for the whole request who asks and from where: `tenants.actors`. Stands after the user is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with origin_bind(origin_of_request(request)):
            return self.get_response(request)


def request_tenant(request: HttpRequest) -> tuple[Tenant | None, ApiToken | None]:
    """The tenant a request is for, None for the platform's own pages; and the API token that it was asked with.

    Raises HostRefused, HostUnknown, WrongHost, TenantSuspended, TokenMalformed, TokenUnusable, DirectoryUnavailable.
    """
    host_tenant = _host_tenant(request)
    header = request.headers.get("Authorization", "") if request.path_info.startswith(API_PREFIX) else ""
    text = authorization_token(header)
    if text is None:
        if host_tenant is not None and not host_tenant.is_active:
            raise TenantSuspended
        return host_tenant, None
    tenant = tenant_by_id(text.tenant_id)
    if tenant is None or tenant.status == Tenant.Status.DELETING:
        raise TokenUnusable
    token = token_find(tenant=tenant, token=text, now=clock.now())
    if host_tenant is not None and host_tenant.pk != tenant.pk:
        raise WrongHost
    if not tenant.is_active:
        raise TenantSuspended
    return tenant, token


def authorization_token(header: str) -> TokenText | None:
    """The token of an Authorization header; None where the header is empty. Raises TokenMalformed."""
    if not header:
        return None
    scheme, _, text = header.strip().partition(" ")
    token = token_parse(text.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise TokenMalformed
    return token


def _host_tenant(request: HttpRequest) -> Tenant | None:
    """The tenant of the Host header, None for a public host. Raises HostRefused, HostUnknown.

    A name outside BASE_DOMAIN that ALLOWED_HOSTS lets in is public unless a tenant owns it: the machine's own name.
    """
    try:
        host = split_domain_port(request.get_host())[0].rstrip(".")
    except DisallowedHost as error:
        raise HostRefused from error
    if host in settings.PUBLIC_HOSTS:
        return None
    tenant = tenant_by_host(host)
    if tenant is None and not host.endswith(f".{settings.BASE_DOMAIN}"):
        return None
    if tenant is None or tenant.status == Tenant.Status.DELETING:
        raise HostUnknown(f"Nobody answers on {host}.")
    return tenant


def _answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    if request.path_info.startswith(API_PREFIX):
        return problem_http_response(problem)
    page = render_to_string(
        "tenants/refused.html",
        {"problem": problem, "title": _TITLES.get(problem.code, "Not now"), "base_domain": settings.BASE_DOMAIN},
    )
    return HttpResponse(page, status=problem.status, headers=problem_headers(problem))


_TITLES: Final = {"host_unknown": "Unknown host", "tenant_suspended": "Suspended"}


def _in_context(context: contextvars.Context, chunks: Iterable[Any]) -> Iterator[Any]:
    """Make each chunk in the given context, and close what makes them there too."""
    iterator = iter(chunks)
    done = object()
    try:
        while (chunk := context.run(next, iterator, done)) is not done:
            yield chunk
    finally:
        if close := getattr(iterator, "close", None):
            context.run(close)
