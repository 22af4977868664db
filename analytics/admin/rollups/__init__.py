"""The analytics pages of a tenant and their files."""

from analytics.admin.rollups.export import AnalyticsExport
from analytics.admin.rollups.page import AnalyticsPage

__all__ = ["AnalyticsExport", "AnalyticsPage"]
