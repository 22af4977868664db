from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """A promotion without rows goes on in another month than it was begun in."""

    dependencies = [("entities", "0014_values_by_name")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0015_promotion_slice")]
