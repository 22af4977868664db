from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """New names are counted by one writer of a tenant at a time, so that two at once keep to the quota."""

    dependencies = [("entities", "0016_text_instant_fractions")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0017_attribute_names_in_turn")]
