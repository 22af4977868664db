"""The paths of freshness below /api/v1/."""

from django.urls import path

from freshness.api import FreshnessDecision, FreshnessDefaults, FreshnessExplain, FreshnessSources

urlpatterns = [
    path("freshness/", FreshnessSources.as_view(), name="freshness"),
    path("freshness/explain/", FreshnessExplain.as_view(), name="freshness-explain"),
    path("freshness/defaults/", FreshnessDefaults.as_view(), name="freshness-defaults"),
    path("freshness/decisions/<str:request_id>/", FreshnessDecision.as_view(), name="freshness-decision"),
]
