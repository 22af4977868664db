"""The database backend: every connection follows the bound tenant (`base`); migrations connect as the owner (`owner`)."""
