"""The paths of the data's pages, below /admin/ on a tenant's host and below /admin/tenants/SLUG/ on the public one."""

from __future__ import annotations

from entities.admin.attributes import AttributeList
from entities.admin.browser import EntityBrowser, EntityCount, EntityNames, EntityValues
from entities.admin.entities import EntityDetail, EntityValue
from entities.admin.saved import SearchChange, SearchCreate, SearchDelete, SearchList
from tenants.admin.routes import Route

tenant_routes = (
    Route("attributes/", AttributeList, "attributes"),
    Route("entities/", EntityBrowser, "entities"),
    Route("entities/count/", EntityCount, "entity_count"),
    Route("entities/names/", EntityNames, "entity_names"),
    Route("entities/values/", EntityValues, "entity_values"),
    Route("entities/searches/", SearchList, "searches"),
    Route("entities/searches/new/", SearchCreate, "search_new"),
    Route("entities/searches/<int:search_id>/", SearchChange, "search"),
    Route("entities/searches/<int:search_id>/delete/", SearchDelete, "search_delete"),
    Route("entities/<int:entity_id>/", EntityDetail, "entity"),
    Route("entities/<int:entity_id>/value/", EntityValue, "entity_value"),
)
