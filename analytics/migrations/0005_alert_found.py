from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Alert states that know a value again which is found present."""

    dependencies = [("analytics", "0004_alert_time")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0005_alert_found")]
