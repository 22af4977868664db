"""The paths of the data's pages, below /admin/ on a tenant's host and below /admin/tenants/SLUG/ on the public one."""

from __future__ import annotations

from entities.admin.attributes import AttributeList
from entities.admin.browser import EntityBrowser, EntityCount, EntityExplain, EntityNames, EntityValues
from entities.admin.bulk import BulkEditCancel, BulkEditCreate, BulkEditDetail, BulkEditList, BulkEditUndo
from entities.admin.entities import EntityDelete, EntityDetail, EntityHistory, EntityValue, ValueEdit
from entities.admin.exports import ExportCancel, ExportCreate, ExportFile, ExportList, ExportRow
from entities.admin.imports import (
    ImportCancel,
    ImportDetail,
    ImportErrors,
    ImportList,
    ImportPreview,
    ImportProgress,
)
from entities.admin.indexes import IndexList
from entities.admin.partitions import PartitionTree, PromotionProgress
from entities.admin.registry import (
    AliasRemove,
    AttributeDetail,
    AttributeDrop,
    AttributeJobPage,
    AttributePromote,
    AttributeRename,
    AttributeRule,
    SimilarNames,
)
from entities.admin.saved import SearchChange, SearchCreate, SearchDelete, SearchList
from tenants.admin.routes import Route

platform_routes = (
    Route("partitions/", PartitionTree, "partitions"),
    Route("partitions/promotions/", PromotionProgress, "promotions"),
)
tenant_routes = (
    Route("attributes/", AttributeList, "attributes"),
    Route("attributes/one/", AttributeDetail, "attribute"),
    Route("attributes/one/promote/", AttributePromote, "attribute_promote"),
    Route("attributes/one/rule/", AttributeRule, "attribute_rule"),
    Route("attributes/one/rename/", AttributeRename, "attribute_rename"),
    Route("attributes/one/alias/", AliasRemove, "attribute_alias"),
    Route("attributes/one/remove/", AttributeDrop, "attribute_drop"),
    Route("attributes/similar/", SimilarNames, "attributes_similar"),
    Route("attributes/jobs/<uuid:job_id>/", AttributeJobPage, "attribute_job"),
    Route("attributes/indexes/", IndexList, "indexes"),
    Route("entities/", EntityBrowser, "entities"),
    Route("entities/count/", EntityCount, "entity_count"),
    Route("entities/explain/", EntityExplain, "entity_explain"),
    Route("entities/names/", EntityNames, "entity_names"),
    Route("entities/values/", EntityValues, "entity_values"),
    Route("entities/searches/", SearchList, "searches"),
    Route("entities/searches/new/", SearchCreate, "search_new"),
    Route("entities/searches/<int:search_id>/", SearchChange, "search"),
    Route("entities/searches/<int:search_id>/delete/", SearchDelete, "search_delete"),
    Route("entities/exports/", ExportList, "exports"),
    Route("entities/exports/new/", ExportCreate, "export_new"),
    Route("entities/exports/<uuid:job_id>/", ExportRow, "export"),
    Route("entities/exports/<uuid:job_id>/cancel/", ExportCancel, "export_cancel"),
    Route("entities/exports/<uuid:job_id>/file/", ExportFile, "export_file"),
    Route("entities/bulk/", BulkEditList, "bulk_edits"),
    Route("entities/bulk/new/", BulkEditCreate, "bulk_edit_new"),
    Route("entities/bulk/<uuid:edit_id>/", BulkEditDetail, "bulk_edit"),
    Route("entities/bulk/<uuid:edit_id>/cancel/", BulkEditCancel, "bulk_edit_cancel"),
    Route("entities/bulk/<uuid:edit_id>/undo/", BulkEditUndo, "bulk_edit_undo"),
    Route("entities/<int:entity_id>/", EntityDetail, "entity"),
    Route("entities/<int:entity_id>/value/", EntityValue, "entity_value"),
    Route("entities/<int:entity_id>/edit/", ValueEdit, "entity_edit"),
    Route("entities/<int:entity_id>/history/", EntityHistory, "entity_history"),
    Route("entities/<int:entity_id>/delete/", EntityDelete, "entity_delete"),
    Route("imports/", ImportList, "imports"),
    Route("imports/<uuid:job_id>/", ImportDetail, "import"),
    Route("imports/<uuid:job_id>/preview/", ImportPreview, "import_preview"),
    Route("imports/<uuid:job_id>/progress/", ImportProgress, "import_progress"),
    Route("imports/<uuid:job_id>/cancel/", ImportCancel, "import_cancel"),
    Route("imports/<uuid:job_id>/left-out.<str:suffix>", ImportErrors, "import_errors"),
)
