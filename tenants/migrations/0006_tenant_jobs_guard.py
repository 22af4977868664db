from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Jobs about whole tenants are guarded like every table that names one."""

    dependencies = [("tenants", "0005_tenant_limits")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0006_tenant_jobs_guard")]
