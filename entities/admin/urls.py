"""The paths of the data's pages, below /admin/ on a tenant's host and below /admin/tenants/SLUG/ on the public one."""

from __future__ import annotations

from entities.admin.attributes import AttributeList
from entities.admin.entities import EntityDetail, EntityLookup, EntityValue
from tenants.admin.routes import Route

tenant_routes = (
    Route("attributes/", AttributeList, "attributes"),
    Route("entities/", EntityLookup, "entities"),
    Route("entities/<int:entity_id>/", EntityDetail, "entity"),
    Route("entities/<int:entity_id>/value/", EntityValue, "entity_value"),
)
