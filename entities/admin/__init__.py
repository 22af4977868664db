"""The pages about a tenant's data: its attributes and its entities. `atlasco.site` puts them on paths."""
