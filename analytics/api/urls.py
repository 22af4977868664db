"""The paths of analytics below /api/v1/."""

from django.urls import path

from analytics.api.aggregate import AnalyticsAggregate
from analytics.api.alerts import (
    AlertFiringAcknowledge,
    AlertFirings,
    AlertRuleDetail,
    AlertRulePreview,
    AlertRules,
)
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
    path("alerts/rules/", AlertRules.as_view(), name="alert-rules"),
    path("alerts/rules/preview/", AlertRulePreview.as_view(), name="alert-rule-preview"),
    path("alerts/rules/<int:rule_id>/", AlertRuleDetail.as_view(), name="alert-rule"),
    path("alerts/firings/", AlertFirings.as_view(), name="alert-firings"),
    path(
        "alerts/firings/<int:firing_id>/acknowledge/",
        AlertFiringAcknowledge.as_view(),
        name="alert-firing-acknowledge",
    ),
]
