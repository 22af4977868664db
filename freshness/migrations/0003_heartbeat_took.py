from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """How long a write takes, in the heartbeat."""

    dependencies = [("freshness", "0002_timelines")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0003_heartbeat_took")]
