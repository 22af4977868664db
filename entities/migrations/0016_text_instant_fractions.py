from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """Timestamps with a fraction or an offset, too, are told from other texts without the pattern."""

    dependencies = [("entities", "0015_promotion_slice")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0016_text_instant_fractions")]
