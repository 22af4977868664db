from django.db import migrations, models


class Migration(migrations.Migration):
    """What each tenant has settled of freshness, see `freshness.defaults`."""

    dependencies = [("tenants", "0006_tenant_jobs_guard")]
    operations = [
        migrations.AddField(
            model_name="tenant",
            name="freshness",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
