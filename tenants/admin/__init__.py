"""The pages about tenants, their tokens and members. `atlasco.site` puts them on paths.

Nothing is registered with Django's ModelAdmin: what a tenant is spans its row, its schema and its partitions, and only
`tenants.services` keeps these together.
"""
