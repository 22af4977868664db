from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_tenant_schemas")]

    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0003_schema_policies")]
