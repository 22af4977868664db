from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The queue of what is to be told outside. It has no model: `tenants.notices.services` speaks SQL to it."""

    dependencies = [("tenants", "0001_initial")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0001_notices")]
