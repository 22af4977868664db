"""The models that somebody would write. Only `entities.bench.peers.__main__` installs them."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.db import models


class EavUnit(models.Model):
    """An entity whose attributes django-eav2 keeps."""

    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return str(self.pk)


class JsonUnit(models.Model):
    """An entity with its attributes in one document."""

    updated_at = models.DateTimeField(db_index=True)
    attributes = models.JSONField()

    class Meta:
        app_label = "peers"
        indexes = [GinIndex(fields=["attributes"], name="json_unit_attributes", opclasses=["jsonb_path_ops"])]

    def __str__(self) -> str:
        return str(self.pk)
