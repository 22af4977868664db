from django.db import migrations, models


class Migration(migrations.Migration):
    """Viewer, editor, admin. Whoever was an admin stays one; everybody else could only look, and is a viewer."""

    dependencies = [("members", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="user",
            name="role",
            field=models.CharField(
                choices=[("viewer", "Viewer"), ("editor", "Editor"), ("admin", "Admin")],
                default="viewer",
                max_length=10,
            ),
        ),
        migrations.RunSQL("UPDATE members_user SET role = 'admin' WHERE is_superuser", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("role", "viewer"), ("role", "editor"), ("role", "admin"), _connector="OR"),
                name="user_role_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("is_superuser", True), ("role", "admin")),
                    models.Q(("is_superuser", False), models.Q(("role", "admin"), _negated=True)),
                    _connector="OR",
                ),
                name="user_admin_is_superuser",
            ),
        ),
    ]
