"""The pages about what is computed from a tenant's data: distributions, trends, alerts."""
