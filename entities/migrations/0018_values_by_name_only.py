from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The index of names serves searches for rare names alone. Writers wait while it is built anew."""

    dependencies = [("entities", "0017_attribute_names_in_turn")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0018_values_by_name_only")]
