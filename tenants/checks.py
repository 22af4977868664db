"""Boot checks about tenancy."""
