"""/analytics/rollups/: what is computed before anybody asks."""

from analytics.api.rollups.views import RollupDistribution, RollupEntities, RollupTrend, RollupValues

__all__ = ["RollupDistribution", "RollupEntities", "RollupTrend", "RollupValues"]
