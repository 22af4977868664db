from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The demo's own tables. They have no models: `analytics.demo` speaks SQL to them."""

    dependencies = [("tenants", "0001_initial")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0001_demo")]
