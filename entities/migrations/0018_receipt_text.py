from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """An import's first answer is kept as it was sent."""

    dependencies = [("entities", "0017_attribute_names_in_turn")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0018_receipt_text")]
