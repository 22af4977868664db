from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """An import's first answer is kept as it was sent."""

    dependencies = [("entities", "0018_values_by_name_only")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0019_receipt_text")]
