"""The paths of analytics below /api/v1/."""

from django.urls import path

from analytics.api import AnalyticsAggregate

urlpatterns = [path("analytics/aggregate/", AnalyticsAggregate.as_view(), name="analytics-aggregate")]
