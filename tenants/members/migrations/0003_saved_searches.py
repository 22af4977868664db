import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Saved searches can be shared, keep their columns, and be the default of their type."""

    dependencies = [
        ("members", "0002_roles"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="savedsearch",
            name="savedsearch_name_unique",
        ),
        migrations.AddField(
            model_name="savedsearch",
            name="columns",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="savedsearch",
            name="is_default",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="savedsearch",
            name="is_shared",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="savedsearch",
            name="owner_name",
            field=models.CharField(default="", max_length=150),
        ),
        migrations.AlterField(
            model_name="savedsearch",
            name="owner",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="saved_searches",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="savedsearch",
            constraint=models.UniqueConstraint(
                fields=("owner", "name"), name="savedsearch_name_unique", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="savedsearch",
            constraint=models.CheckConstraint(
                condition=models.Q(("owner__isnull", False), ("is_shared", True), _connector="OR"),
                name="savedsearch_owned_or_shared",
            ),
        ),
    ]
