"""The shared tables as Python sees them. `sql/0001_data_plane.sql` makes them; Django manages none of them.

Hot paths speak SQL (`sql/*.sql`); these models serve the admin, the registry and the tests.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Entity(models.Model):
    """One entity with its whole document."""

    pk = models.CompositePrimaryKey("tenant_id", "entity_id")
    tenant_id = models.IntegerField()
    entity_id = models.BigIntegerField()
    entity_type = models.CharField(max_length=100)
    external_id = models.CharField(max_length=512)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    version = models.BigIntegerField()
    attributes = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "entities"
        verbose_name_plural = "entities"

    def __str__(self) -> str:
        return f"{self.entity_type} {self.external_id}"


class EntityKey(models.Model):
    """Which entity an (entity_type, external_id) names."""

    pk = models.CompositePrimaryKey("tenant_id", "external_id", "entity_type")
    tenant_id = models.IntegerField()
    external_id = models.CharField(max_length=512)
    entity_type = models.CharField(max_length=100)
    entity_id = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "entity_keys"

    def __str__(self) -> str:
        return f"{self.entity_type} {self.external_id}"


class EntityAttribute(models.Model):
    """One value of one entity, with the instant at which it was set."""

    pk = models.CompositePrimaryKey("tenant_id", "entity_id", "attribute_name")
    tenant_id = models.IntegerField()
    entity_id = models.BigIntegerField()
    attribute_name = models.CharField(max_length=255)
    value_type = models.CharField(max_length=20)
    attribute_value = models.TextField()
    numeric_value = models.DecimalField(max_digits=1000, decimal_places=500, null=True)
    instant_value = models.DateTimeField(null=True)
    indexed = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "entity_attributes"

    def __str__(self) -> str:
        return self.attribute_name


class AttributeMetadata(models.Model):
    """What is known of one attribute name of one tenant."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        DEPRECATED = "deprecated"
        HIDDEN = "hidden"
        QUARANTINED = "quarantined"  # Nobody asked for it: see `entities.governance`.

    pk = models.CompositePrimaryKey("tenant_id", "attribute_name")
    tenant_id = models.IntegerField()
    attribute_name = models.CharField(max_length=255)
    value_type = models.CharField(max_length=20)
    value_types = models.JSONField(default=dict)
    is_indexed = models.BooleanField(default=False)
    is_indexing = models.BooleanField(default=False)
    value_bytes = models.FloatField(null=True)
    cardinality_estimate = models.BigIntegerField(null=True)
    null_rate = models.FloatField(null=True)
    most_common = models.JSONField(default=list)
    histogram = ArrayField(models.FloatField(), null=True)
    hot_score = models.FloatField(default=0)
    pending_changes = models.BigIntegerField(default=0)
    last_analyzed = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField()
    description = models.TextField(blank=True, default="")
    unit = models.CharField(max_length=50, blank=True, default="")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ACTIVE)
    owner = models.CharField(max_length=150, blank=True, default="")
    quarantine_reason = models.CharField(max_length=20, blank=True, default="")

    class Meta:
        managed = False
        db_table = "attribute_metadata"
        verbose_name_plural = "attribute metadata"

    def __str__(self) -> str:
        return self.attribute_name


class JobStatus(models.TextChoices):
    """How far work is that a worker does."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(models.Model):
    """What a worker does in the background, see `entities.jobs`."""

    tenant_id = models.IntegerField()
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, choices=JobStatus.choices, default=JobStatus.QUEUED)
    detail = models.TextField(default="")
    created_by = models.TextField(default="")
    attempts = models.SmallIntegerField(default=0)

    class Meta:
        abstract = True


class ImportJob(Job):
    """An import that a worker does in the background."""

    class Status(models.TextChoices):
        DRAFT = "draft"  # The file is there, and nobody has said go.
        QUEUED = "queued"
        RUNNING = "running"
        CHECKED = "checked"  # A dry run has ended, and the file is still there.
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Format(models.TextChoices):
        NDJSON = "ndjson", "NDJSON"
        CSV = "csv", "CSV"
        PARQUET = "parquet", "Parquet"

    job_id = models.UUIDField(primary_key=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    mode = models.CharField(max_length=20, default="merge")
    file_name = models.TextField()
    file_path = models.TextField()
    bytes_total = models.BigIntegerField()
    bytes_done = models.BigIntegerField(default=0)
    lines_done = models.BigIntegerField(default=0)
    summary = models.JSONField(default=dict)
    format = models.CharField(max_length=20, choices=Format.choices, default=Format.NDJSON)
    options = models.JSONField(default=dict)
    is_dry_run = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "import_jobs"

    def __str__(self) -> str:
        return self.file_name


class ImportRejection(models.Model):
    """A line that an import left out, as it came."""

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "line")
    tenant_id = models.IntegerField()
    job_id = models.UUIDField()
    line = models.BigIntegerField()
    code = models.TextField()
    detail = models.TextField()
    errors = models.JSONField(default=list)
    raw = models.TextField(null=True)  # noqa: DJ001  # An empty line is one that was kept.

    class Meta:
        managed = False
        db_table = "import_rejections"

    def __str__(self) -> str:
        return f"{self.line}: {self.detail}"


class ImportMapping(models.Model):
    """How a file with certain columns was last understood."""

    pk = models.CompositePrimaryKey("tenant_id", "fingerprint")
    tenant_id = models.IntegerField()
    fingerprint = models.CharField(max_length=64)
    options = models.JSONField()
    used_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "import_mappings"

    def __str__(self) -> str:
        return self.fingerprint


class AttributeAlias(models.Model):
    """A name that writers may still send, and the one that is stored instead."""

    pk = models.CompositePrimaryKey("tenant_id", "alias")
    tenant_id = models.IntegerField()
    alias = models.CharField(max_length=255)
    attribute_name = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    created_by = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "attribute_aliases"
        verbose_name_plural = "attribute aliases"

    def __str__(self) -> str:
        return self.alias


class AttributeRule(models.Model):
    """What the values of one attribute must be like."""

    class Mode(models.TextChoices):
        OFF = "off"
        WARN = "warn"
        ENFORCE = "enforce"

    pk = models.CompositePrimaryKey("tenant_id", "attribute_name")
    tenant_id = models.IntegerField()
    attribute_name = models.CharField(max_length=255)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.OFF)
    conditions = models.JSONField()
    updated_at = models.DateTimeField()
    updated_by = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "attribute_rules"

    def __str__(self) -> str:
        return self.attribute_name


class AttributeJob(Job):
    """What a worker does about one attribute, entity after entity."""

    class Kind(models.TextChoices):
        RULE_CHECK = "rule_check", "Check of a rule"
        RENAME = "rename", "Rename"
        DROP = "drop", "Removal"
        UNDO = "undo", "Undo"
        SIMILAR = "similar", "Look for near-duplicates"

    job_id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    attribute_name = models.CharField(max_length=255, default="")
    target = models.CharField(max_length=255, default="")
    options = models.JSONField(default=dict)
    entities_total = models.BigIntegerField(default=0)
    entities_done = models.BigIntegerField(default=0)
    after_entity_id = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    result = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "attribute_jobs"

    def __str__(self) -> str:
        return f"{self.kind} {self.attribute_name}"


class ExportJob(Job):
    """A search's result that a worker writes into a file."""

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        NDJSON = "ndjson", "NDJSON"
        PARQUET = "parquet", "Parquet"

    job_id = models.UUIDField(primary_key=True)
    expires_at = models.DateTimeField(null=True)
    format = models.CharField(max_length=20, choices=Format.choices)
    query = models.JSONField()
    columns = models.JSONField(default=list)
    file_name = models.TextField(default="")
    file_path = models.TextField(default="")
    rows_expected = models.BigIntegerField(null=True)
    rows_done = models.BigIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    is_cut = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "export_jobs"

    def __str__(self) -> str:
        return self.file_name


class BulkEdit(Job):
    """The same change to many entities, or with undo_of the taking back of one."""

    edit_id = models.UUIDField(primary_key=True)
    undo_of = models.UUIDField(null=True)
    query = models.JSONField(null=True)
    entity_ids = ArrayField(models.BigIntegerField(), default=list)
    changes = models.JSONField(default=dict)
    entities_total = models.BigIntegerField(default=0)
    entities_done = models.BigIntegerField(default=0)
    entities_changed = models.BigIntegerField(default=0)
    after_entity_id = models.BigIntegerField(default=-(2**63))
    conflicts = models.JSONField(default=list)
    conflicts_count = models.BigIntegerField(default=0)

    class Meta:
        managed = False
        db_table = "bulk_edits"

    def __str__(self) -> str:
        return str(self.edit_id)


class BulkEditChange(models.Model):
    """What one entity had before a bulk edit."""

    pk = models.CompositePrimaryKey("tenant_id", "edit_id", "entity_id")
    tenant_id = models.IntegerField()
    edit_id = models.UUIDField()
    entity_id = models.BigIntegerField()
    at = models.DateTimeField()
    before = models.JSONField()

    class Meta:
        managed = False
        db_table = "bulk_edit_changes"

    def __str__(self) -> str:
        return str(self.entity_id)


class PartitionPromotion(models.Model):
    """A tenant on its way from the shared leaf to a sub-tree of its own, and how far it is."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    tenant_id = models.IntegerField(primary_key=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    step = models.CharField(max_length=40, default="")
    requested_at = models.DateTimeField()
    requested_by = models.TextField(default="")
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    boundary = models.BigIntegerField(null=True)
    moved_from = models.BigIntegerField(null=True)
    rows_total = models.BigIntegerField(default=0)
    rows_moved = models.BigIntegerField(default=0)
    slices = models.IntegerField(default=0)
    longest_pause_s = models.FloatField(default=0)
    detail = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "partition_promotions"

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.status}"

    @property
    def is_open(self) -> bool:
        return self.status in {self.Status.QUEUED, self.Status.RUNNING}

    @property
    def percent(self) -> int:
        return min(100, self.rows_moved * 100 // self.rows_total) if self.rows_total else 0


class PartitionArchive(models.Model):
    """A month of a tenant that was detached to files."""

    pk = models.CompositePrimaryKey("tenant_id", "leaf")
    tenant_id = models.IntegerField()
    leaf = models.CharField(max_length=20)
    range_from = models.BigIntegerField(null=True)
    range_to = models.BigIntegerField()
    archived_at = models.DateTimeField()
    entities = models.BigIntegerField()
    attribute_values = models.BigIntegerField()
    bytes = models.BigIntegerField()
    path = models.TextField()
    digest = models.TextField()

    class Meta:
        managed = False
        db_table = "partition_archives"

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.leaf}"
