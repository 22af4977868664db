from pathlib import Path

from django.db import migrations, models

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Import jobs count their attempts."""

    dependencies = [("entities", "0002_entity_documents")]
    operations = [
        RunSQLFile(
            Path(__file__).parent.parent / "sql",
            "0003_import_attempts",
            state_operations=[migrations.AddField("importjob", "attempts", models.SmallIntegerField(default=0))],
        )
    ]
