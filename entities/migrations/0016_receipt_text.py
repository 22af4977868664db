from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """An import's first answer is kept as it was sent."""

    dependencies = [("entities", "0015_promotion_slice")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0016_receipt_text")]
