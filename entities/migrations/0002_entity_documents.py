from pathlib import Path

from django.db import migrations

from atlasco.lib.sql import RunSQLFile


class Migration(migrations.Migration):
    """The views that searches read, and the index that drives them."""

    dependencies = [("entities", "0001_data_plane")]
    operations = [RunSQLFile(Path(__file__).parent.parent / "sql", "0002_entity_documents")]
