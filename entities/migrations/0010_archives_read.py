from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The change feed may know which months are archived."""

    dependencies = [("entities", "0009_snapshot_check")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0010_archives_read")]
