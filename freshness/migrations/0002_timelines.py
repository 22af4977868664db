from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Where each timeline of the primary's log began."""

    dependencies = [("freshness", "0001_heartbeat")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0002_timelines")]
