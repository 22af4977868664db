from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Timestamps are told from other texts in a third of the time."""

    dependencies = [("entities", "0011_entities_created")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0012_text_instant")]
