from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Quotas, a wanted second factor, jobs about whole tenants, and how often each calls the API."""

    dependencies = [("tenants", "0004_audit_log")]
    operations = [
        RunSQLFile(Path(__file__).parent.parent / "sql", "0005_tenant_limits"),
        migrations.CreateModel(
            name="TenantJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("export", "Export"), ("delete", "Delete")], max_length=10)),
                (
                    "status",
                    models.CharField(
                        choices=[("queued", "Queued"), ("running", "Running"), ("done", "Done"), ("failed", "Failed")],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("tenant_id", models.IntegerField()),
                ("slug", models.CharField(max_length=40)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("done", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(default=0)),
                ("report", models.JSONField(default=dict)),
                ("file_path", models.TextField(default="")),
                ("file_bytes", models.BigIntegerField(default=0)),
                ("detail", models.TextField(default="")),
            ],
            options={
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.AddField(
            model_name="tenant",
            name="mfa_required",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="quota_attributes",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="quota_entities",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="quota_requests_per_s",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="quota_values",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(fields=["-created_at", "-id"], name="tenant_newest"),
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(fields=["name", "id"], name="tenant_by_name"),
        ),
        migrations.AddIndex(
            model_name="tenantjob",
            index=models.Index(fields=["tenant_id", "-created_at"], name="tenant_job_newest"),
        ),
        migrations.AddIndex(
            model_name="tenantjob",
            index=models.Index(fields=["status", "-created_at"], name="tenant_job_status"),
        ),
    ]
