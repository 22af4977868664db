"""The registry's pages: one attribute, its rule, its names, and the jobs about them."""

from entities.admin.registry.detail import AliasRemove, AttributeDetail, AttributePromote
from entities.admin.registry.jobs import AttributeJobPage, SimilarNames
from entities.admin.registry.rename import AttributeDrop, AttributeRename
from entities.admin.registry.rule import AttributeRule

__all__ = [
    "AliasRemove",
    "AttributeDetail",
    "AttributeDrop",
    "AttributeJobPage",
    "AttributePromote",
    "AttributeRename",
    "AttributeRule",
    "SimilarNames",
]
