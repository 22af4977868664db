from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Partitions that move: promotion of a tenant, months kept ahead, archives."""

    dependencies = [("entities", "0007_value_numbers"), ("tenants", "0003_schema_policies")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0008_partitions",
            state_operations=[
                migrations.CreateModel(
                    name="PartitionPromotion",
                    fields=[
                        ("tenant_id", models.IntegerField(primary_key=True, serialize=False)),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("queued", "Queued"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("failed", "Failed"),
                                ],
                                default="queued",
                                max_length=20,
                            ),
                        ),
                        ("step", models.CharField(default="", max_length=40)),
                        ("requested_at", models.DateTimeField()),
                        ("requested_by", models.TextField(default="")),
                        ("started_at", models.DateTimeField(null=True)),
                        ("beat_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        ("boundary", models.BigIntegerField(null=True)),
                        ("moved_from", models.BigIntegerField(null=True)),
                        ("rows_total", models.BigIntegerField(default=0)),
                        ("rows_moved", models.BigIntegerField(default=0)),
                        ("slices", models.IntegerField(default=0)),
                        ("longest_pause_s", models.FloatField(default=0)),
                        ("detail", models.TextField(default="")),
                    ],
                    options={"db_table": "partition_promotions", "managed": False},
                ),
                migrations.CreateModel(
                    name="PartitionArchive",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "leaf", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_id", models.IntegerField()),
                        ("leaf", models.CharField(max_length=20)),
                        ("range_from", models.BigIntegerField(null=True)),
                        ("range_to", models.BigIntegerField()),
                        ("archived_at", models.DateTimeField()),
                        ("entities", models.BigIntegerField()),
                        ("attribute_values", models.BigIntegerField()),
                        ("bytes", models.BigIntegerField()),
                        ("path", models.TextField()),
                        ("digest", models.TextField()),
                    ],
                    options={"db_table": "partition_archives", "managed": False},
                ),
            ],
        )
    ]
