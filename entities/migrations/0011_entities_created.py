from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Pages in order of creation. Writers wait while it is built: about a second for each million entities."""

    dependencies = [("entities", "0010_archives_read")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0011_entities_created")]
