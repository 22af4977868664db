"""The paths of the data plane below /api/v1/."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from entities.api.attributes import AttributeDetail, AttributeList
from entities.api.entities import EntityAttributeDetail, EntityDetail, EntityList
from entities.api.governance import AliasDetail, AliasList, RuleCheck, RuleDetail, RuleList
from entities.api.imports import EntityImport
from entities.api.jobs import ImportJobDetail, ImportJobErrors, ImportJobList, ImportJobStart
from entities.api.search import EntitySearch


class DigitsConverter(StringConverter):
    regex = "[0-9]+"


class AttributeNameConverter(StringConverter):
    """Any character that a name may have: slashes and line breaks too."""

    regex = "(?s:.+)"


register_converter(DigitsConverter, "digits")
register_converter(AttributeNameConverter, "attribute")

urlpatterns = [
    path("entities/", EntityList.as_view(), name="entity-list"),
    path("entities/import/", EntityImport.as_view(), name="entity-import"),
    path("entities/search/", EntitySearch.as_view(), name="entity-search"),
    path("entities/<digits:entity_id>/", EntityDetail.as_view(), name="entity-detail"),
    path(
        "entities/<digits:entity_id>/attributes/<attribute:name>/",
        EntityAttributeDetail.as_view(),
        name="entity-attribute",
    ),
    path("imports/", ImportJobList.as_view(), name="import-list"),
    path("imports/<uuid:job_id>/", ImportJobDetail.as_view(), name="import-detail"),
    path("imports/<uuid:job_id>/start/", ImportJobStart.as_view(), name="import-start"),
    path("imports/<uuid:job_id>/errors/", ImportJobErrors.as_view(), name="import-errors"),
    path("attribute-rules/", RuleList.as_view(), name="attribute-rule-list"),
    path("attribute-rules/checks/<uuid:job_id>/", RuleCheck.as_view(), name="attribute-rule-check"),
    path("attribute-rules/<attribute:name>/", RuleDetail.as_view(), name="attribute-rule-detail"),
    path("attribute-aliases/", AliasList.as_view(), name="attribute-alias-list"),
    path("attribute-aliases/<attribute:alias>/", AliasDetail.as_view(), name="attribute-alias-detail"),
    path("attributes/", AttributeList.as_view(), name="attribute-list"),
    path("attributes/<attribute:name>/", AttributeDetail.as_view(), name="attribute-detail"),
]
