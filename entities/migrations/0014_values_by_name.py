from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Searches for rare names read an index. Writers wait while it is built: some seconds for each million entities."""

    dependencies = [("entities", "0013_text_instant")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0014_values_by_name")]
