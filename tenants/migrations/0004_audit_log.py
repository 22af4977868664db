from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Who did what, when, from where."""

    dependencies = [("tenants", "0003_schema_policies")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0004_audit_log",
            state_operations=[
                migrations.CreateModel(
                    name="AuditEntry",
                    fields=[
                        ("audit_id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("at", models.DateTimeField()),
                        ("tenant_id", models.IntegerField()),
                        ("actor_kind", models.CharField(max_length=20)),
                        ("actor", models.CharField(max_length=200)),
                        ("action", models.CharField(max_length=60)),
                        ("subject", models.TextField()),
                        ("before", models.JSONField(null=True)),
                        ("after", models.JSONField(null=True)),
                        ("via", models.CharField(max_length=10)),
                        ("ip", models.GenericIPAddressField(null=True)),
                        ("request_id", models.CharField(max_length=64)),
                    ],
                    options={
                        "verbose_name_plural": "audit entries",
                        "db_table": "audit_log",
                        "managed": False,
                    },
                )
            ],
        )
    ]
