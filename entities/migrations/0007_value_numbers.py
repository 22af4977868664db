from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Numbers are driven by their index."""

    dependencies = [("entities", "0006_exports_and_bulk_edits")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0007_value_numbers")]
