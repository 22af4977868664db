from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Alert rules, states and firings. They have no models: `analytics.alerts` speaks SQL to them."""

    dependencies = [
        ("analytics", "0002_feed"),
        ("entities", "0001_data_plane"),
        ("notices", "0001_notices"),
    ]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0003_alerts")]
