from pathlib import Path

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The data plane. The state operations are what Django sees of it."""

    initial = True
    dependencies = [("tenants", "0001_initial")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0001_data_plane",
            state_operations=[
                migrations.CreateModel(
                    name="AttributeMetadata",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "attribute_name",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("attribute_name", models.CharField(max_length=255)),
                        ("value_type", models.CharField(max_length=20)),
                        ("value_types", models.JSONField(default=dict)),
                        ("is_indexed", models.BooleanField(default=False)),
                        ("cardinality_estimate", models.BigIntegerField(null=True)),
                        ("null_rate", models.FloatField(null=True)),
                        ("most_common", models.JSONField(default=list)),
                        ("histogram", ArrayField(base_field=models.FloatField(), size=None, null=True)),
                        ("hot_score", models.FloatField(default=0)),
                        ("pending_changes", models.BigIntegerField(default=0)),
                        ("last_analyzed", models.DateTimeField(null=True)),
                        ("first_seen_at", models.DateTimeField()),
                        ("description", models.TextField(blank=True, default="")),
                        (
                            "unit",
                            models.CharField(blank=True, default="", max_length=50),
                        ),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("active", "Active"),
                                    ("deprecated", "Deprecated"),
                                    ("hidden", "Hidden"),
                                ],
                                default="active",
                                max_length=20,
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "attribute metadata",
                        "db_table": "attribute_metadata",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="Entity",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "entity_id",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("entity_id", models.BigIntegerField()),
                        ("entity_type", models.CharField(max_length=100)),
                        ("external_id", models.CharField(max_length=512)),
                        ("created_at", models.DateTimeField()),
                        ("updated_at", models.DateTimeField()),
                        ("version", models.BigIntegerField()),
                        ("attributes", models.JSONField(default=dict)),
                    ],
                    options={
                        "verbose_name_plural": "entities",
                        "db_table": "entities",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="EntityAttribute",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "entity_id",
                                "attribute_name",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("entity_id", models.BigIntegerField()),
                        ("attribute_name", models.CharField(max_length=255)),
                        ("value_type", models.CharField(max_length=20)),
                        ("attribute_value", models.TextField()),
                        (
                            "numeric_value",
                            models.DecimalField(decimal_places=500, max_digits=1000, null=True),
                        ),
                        ("instant_value", models.DateTimeField(null=True)),
                        ("indexed", models.BooleanField(default=False)),
                        ("created_at", models.DateTimeField()),
                        ("updated_at", models.DateTimeField()),
                    ],
                    options={
                        "db_table": "entity_attributes",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="EntityKey",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "external_id",
                                "entity_type",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("external_id", models.CharField(max_length=512)),
                        ("entity_type", models.CharField(max_length=100)),
                        ("entity_id", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "entity_keys",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="ImportJob",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
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
                        ("mode", models.CharField(default="merge", max_length=20)),
                        ("file_name", models.TextField()),
                        ("file_path", models.TextField()),
                        ("bytes_total", models.BigIntegerField()),
                        ("bytes_done", models.BigIntegerField(default=0)),
                        ("lines_done", models.BigIntegerField(default=0)),
                        ("summary", models.JSONField(default=dict)),
                        ("detail", models.TextField(default="")),
                        ("created_by", models.TextField(default="")),
                    ],
                    options={
                        "db_table": "import_jobs",
                        "managed": False,
                    },
                ),
            ],
        ),
    ]
