from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Timestamps are told from other texts in a third of the time."""

    dependencies = [("entities", "0012_single_writes")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0013_text_instant")]
