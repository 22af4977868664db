from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0002_tenant_schemas")]
