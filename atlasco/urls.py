"""Every path of the product but those of `atlasco.health`, which answer before a host or a tenant matters.

The admin answers on every host: platform admins on the public one, tenants on theirs.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import atlasco.celery  # noqa: F401  # Whoever serves requests hands work to the worker.
from atlasco.api import PageNotFound
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


api_urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
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
