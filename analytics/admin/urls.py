"""The paths of these pages, below /admin/ on a tenant's host and below /admin/tenants/SLUG/ on the public one."""

from __future__ import annotations

from analytics.admin.alerts import FiringAcknowledge, FiringList, RuleChange, RuleCreate, RuleDelete, RuleList
from analytics.admin.rollups import AnalyticsExport, AnalyticsPage
from tenants.admin.routes import Route

tenant_routes = (
    Route("analytics/", AnalyticsPage, "analytics"),
    Route("analytics/export/", AnalyticsExport, "analytics_export"),
    Route("alerts/", FiringList, "alerts"),
    Route("alerts/<int:firing_id>/acknowledge/", FiringAcknowledge, "alert_acknowledge"),
    Route("alerts/rules/", RuleList, "alert_rules"),
    Route("alerts/rules/new/", RuleCreate, "alert_rule_new"),
    Route("alerts/rules/<int:rule_id>/", RuleChange, "alert_rule"),
    Route("alerts/rules/<int:rule_id>/delete/", RuleDelete, "alert_rule_delete"),
)
