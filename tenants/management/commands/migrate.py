"""`manage.py migrate` is `migrate_schemas`: Django's own would migrate one schema, as a role that may not."""

from tenants.management.commands.migrate_schemas import Command

__all__ = ["Command"]
