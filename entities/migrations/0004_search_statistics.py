from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """What searches are planned by, how often they are made, and the building of indexes."""

    dependencies = [("entities", "0003_import_attempts")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0004_search_statistics",
            state_operations=[
                migrations.AddField("attributemetadata", "is_indexing", models.BooleanField(default=False)),
                migrations.AddField("attributemetadata", "value_bytes", models.FloatField(null=True)),
            ],
        )
    ]
