from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """What the change feed's role may read."""

    dependencies = [
        ("analytics", "0001_demo"),
        ("entities", "0001_data_plane"),
        ("freshness", "0001_heartbeat"),
        ("tenants", "0001_initial"),
    ]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0002_feed")]
