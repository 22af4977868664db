"""The database backend: connections follow the bound tenant (`base`); migrations connect as the owner (`owner`)."""
