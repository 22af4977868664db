from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """A single write is one statement."""

    dependencies = [("entities", "0011_entities_created"), ("tenants", "0005_tenant_limits")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0012_single_writes")]
