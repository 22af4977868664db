from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Rules, aliases, quarantine and the jobs about attributes; imports of CSV and Parquet."""

    dependencies = [("entities", "0004_search_statistics")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0005_governance",
            state_operations=[
                migrations.CreateModel(
                    name="AttributeAlias",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "alias", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("alias", models.CharField(max_length=255)),
                        ("attribute_name", models.CharField(max_length=255)),
                        ("created_at", models.DateTimeField()),
                        ("created_by", models.TextField(default="")),
                    ],
                    options={
                        "verbose_name_plural": "attribute aliases",
                        "db_table": "attribute_aliases",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="AttributeJob",
                    fields=[
                        ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("tenant_id", models.IntegerField()),
                        ("created_at", models.DateTimeField()),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("rule_check", "Check of a rule"),
                                    ("rename", "Rename"),
                                    ("drop", "Removal"),
                                    ("undo", "Undo"),
                                    ("similar", "Look for near-duplicates"),
                                ],
                                max_length=20,
                            ),
                        ),
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
                        ("attribute_name", models.CharField(default="", max_length=255)),
                        ("target", models.CharField(default="", max_length=255)),
                        ("options", models.JSONField(default=dict)),
                        ("entities_total", models.BigIntegerField(default=0)),
                        ("entities_done", models.BigIntegerField(default=0)),
                        ("after_entity_id", models.BigIntegerField(default=0)),
                        ("changed", models.BigIntegerField(default=0)),
                        ("result", models.JSONField(default=dict)),
                        ("detail", models.TextField(default="")),
                        ("created_by", models.TextField(default="")),
                        ("attempts", models.SmallIntegerField(default=0)),
                    ],
                    options={
                        "db_table": "attribute_jobs",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="AttributeRule",
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
                        (
                            "mode",
                            models.CharField(
                                choices=[("off", "Off"), ("warn", "Warn"), ("enforce", "Enforce")],
                                default="off",
                                max_length=10,
                            ),
                        ),
                        ("conditions", models.JSONField()),
                        ("updated_at", models.DateTimeField()),
                        ("updated_by", models.TextField(default="")),
                    ],
                    options={
                        "db_table": "attribute_rules",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="ImportMapping",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "fingerprint",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("fingerprint", models.CharField(max_length=64)),
                        ("options", models.JSONField()),
                        ("used_at", models.DateTimeField()),
                    ],
                    options={
                        "db_table": "import_mappings",
                        "managed": False,
                    },
                ),
                migrations.CreateModel(
                    name="ImportRejection",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "job_id",
                                "line",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("job_id", models.UUIDField()),
                        ("line", models.BigIntegerField()),
                        ("code", models.TextField()),
                        ("detail", models.TextField()),
                        ("errors", models.JSONField(default=list)),
                        ("raw", models.TextField(null=True)),
                    ],
                    options={
                        "db_table": "import_rejections",
                        "managed": False,
                    },
                ),
                migrations.AddField(
                    "attributemetadata", "owner", models.CharField(blank=True, default="", max_length=150)
                ),
                migrations.AddField(
                    "attributemetadata", "quarantine_reason", models.CharField(blank=True, default="", max_length=20)
                ),
                migrations.AlterField(
                    "attributemetadata",
                    "status",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("deprecated", "Deprecated"),
                            ("hidden", "Hidden"),
                            ("quarantined", "Quarantined"),
                        ],
                        default="active",
                        max_length=20,
                    ),
                ),
                migrations.AddField(
                    "importjob",
                    "format",
                    models.CharField(
                        choices=[("ndjson", "NDJSON"), ("csv", "CSV"), ("parquet", "Parquet")],
                        default="ndjson",
                        max_length=20,
                    ),
                ),
                migrations.AddField("importjob", "options", models.JSONField(default=dict)),
                migrations.AddField("importjob", "is_dry_run", models.BooleanField(default=False)),
                migrations.AlterField(
                    "importjob",
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("checked", "Checked"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=20,
                    ),
                ),
            ],
        )
    ]
