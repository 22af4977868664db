"""Every path of the product but those of `atlasco.health`, which answer before a host or a tenant matters.

The admin answers on every host: platform admins on the public one, tenants on theirs.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import atlasco.celery  # noqa: F401  # Whoever serves requests hands work to the worker.
from atlasco.api import PageNotFound
from atlasco.lib.parameters import InvalidParameter, parameter_error, parameters
from atlasco.lib.problem import problem_http_response
from atlasco.site import site
from tenants.admin.accounts import account_urls


class NoSuchPath(APIView):
    """What is below /api/ and no path: a problem, not a page."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def get(self, request: Request, rest: str = "") -> Response:
        if not rest.endswith("/"):
            raise PageNotFound("There is nothing at this path; paths of the API end with a slash.")
        raise PageNotFound

    post = put = patch = delete = get


class Schema(SpectacularAPIView):
    """The OpenAPI document: as the request accepts it, or as `?format=` says."""

    tells_route = False

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response | HttpResponse:
        try:
            if parameters(request, ("format",)).get("format", "json") not in _SCHEMA_FORMATS:
                raise parameter_error("format", f"`format` is {' or '.join(_SCHEMA_FORMATS)}.")
        except InvalidParameter as problem:
            return problem_http_response(problem)  # The framework would render it as YAML.
        return super().get(request, *args, **kwargs)  # type: ignore[no-any-return, no-untyped-call]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        wanted = request.query_params.get("format")
        for renderer in self.get_renderers():
            if renderer.format == wanted:
                return renderer, renderer.media_type
        return super().perform_content_negotiation(request, force)


_SCHEMA_FORMATS: Final = ("json", "yaml")

api_urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("", include("entities.api.urls")),
    path("", include("analytics.api.urls")),
    path("", include("freshness.urls")),
]
urlpatterns = [
    path("api/v1/", include(api_urlpatterns)),
    re_path("^api/(?P<rest>.*)$", NoSuchPath.as_view()),
    path("admin/", include(account_urls(site))),
    path("admin/", site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

handler429 = "tenants.accounts.lockout.flood_answer"  # As allauth looks for it.
handler500 = "atlasco.api.server_error"
