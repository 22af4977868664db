from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Any role may ask whether its snapshot is whole."""

    dependencies = [("entities", "0008_partitions")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0009_snapshot_check")]
