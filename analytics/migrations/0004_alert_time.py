from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Alert rules that fire by the clock."""

    dependencies = [("analytics", "0003_alerts")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0004_alert_time")]
