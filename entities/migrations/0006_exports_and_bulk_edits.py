from pathlib import Path

import django.contrib.postgres.fields
from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Results as files, and the same change to many entities."""

    dependencies = [("entities", "0005_governance")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0006_exports_and_bulk_edits",
            state_operations=[
                migrations.CreateModel(
                    name="BulkEdit",
                    fields=[
                        ("edit_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("tenant_id", models.IntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="queued",
                                max_length=20,
                            ),
                        ),
                        ("undo_of", models.UUIDField(null=True)),
                        ("query", models.JSONField(null=True)),
                        (
                            "entity_ids",
                            django.contrib.postgres.fields.ArrayField(
                                base_field=models.BigIntegerField(), default=list, size=None
                            ),
                        ),
                        ("changes", models.JSONField(default=dict)),
                        ("entities_total", models.BigIntegerField(default=0)),
                        ("entities_done", models.BigIntegerField(default=0)),
                        ("entities_changed", models.BigIntegerField(default=0)),
                        ("after_entity_id", models.BigIntegerField(default=-9223372036854775808)),
                        ("conflicts", models.JSONField(default=list)),
                        ("conflicts_count", models.BigIntegerField(default=0)),
                        ("detail", models.TextField(default="")),
                        ("created_by", models.TextField(default="")),
                        ("attempts", models.SmallIntegerField(default=0)),
                    ],
                    options={
                        "db_table": "bulk_edits",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="BulkEditChange",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "edit_id",
                                "entity_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("edit_id", models.UUIDField()),
                        ("entity_id", models.BigIntegerField()),
                        ("at", models.DateTimeField()),
                        ("before", models.JSONField()),
                    ],
                    options={
                        "db_table": "bulk_edit_changes",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="ExportJob",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("tenant_id", models.IntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        ("expires_at", models.DateTimeField(null=True)),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="queued",
                                max_length=20,
                            ),
                        ),
                        (
                            "format",
                            models.CharField(
                                choices=[("csv", "CSV"), ("ndjson", "NDJSON"), ("parquet", "Parquet")], max_length=20
                            ),
                        ),
                        ("query", models.JSONField()),
                        ("columns", models.JSONField(default=list)),
                        ("file_name", models.TextField(default="")),
                        ("file_path", models.TextField(default="")),
                        ("rows_expected", models.BigIntegerField(null=True)),
                        ("rows_done", models.BigIntegerField(default=0)),
                        ("bytes_done", models.BigIntegerField(default=0)),
                        ("is_cut", models.BooleanField(default=False)),
                        ("detail", models.TextField(default="")),
                        ("created_by", models.TextField(default="")),
                        ("attempts", models.SmallIntegerField(default=0)),
                    ],
                    options={
                        "db_table": "export_jobs",
                        "managed": False,
                    },
                ),
            ],
        )
    ]
