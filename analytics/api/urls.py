"""The paths of analytics below /api/v1/."""

from django.urls import path

from analytics.api.aggregate import AnalyticsAggregate
from analytics.api.history import AnalyticsState, EntityHistory
from analytics.api.rollups import RollupDistribution, RollupEntities, RollupTrend, RollupValues

urlpatterns = [
    path("analytics/aggregate/", AnalyticsAggregate.as_view(), name="analytics-aggregate"),
    path("analytics/state/", AnalyticsState.as_view(), name="analytics-state"),
    path("entities/<digits:entity_id>/history/", EntityHistory.as_view(), name="entity-history"),
    path("analytics/rollups/distribution/", RollupDistribution.as_view(), name="rollup-distribution"),
    path("analytics/rollups/values/", RollupValues.as_view(), name="rollup-values"),
    path("analytics/rollups/trend/", RollupTrend.as_view(), name="rollup-trend"),
    path("analytics/rollups/entities/", RollupEntities.as_view(), name="rollup-entities"),
]
