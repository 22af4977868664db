from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The heartbeat row, published beside the data."""

    initial = True
    # The publication is the data plane's.
    dependencies = [("entities", "0001_data_plane")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0001_heartbeat")]
