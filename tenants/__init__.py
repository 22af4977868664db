"""Who is asking: tenants, their hosts, members and tokens, and the binding of every connection to the tenant.

# Note [Two walls]
Entities and values lie in shared tables of `public`. There PostgreSQL itself keeps tenants apart: row-level security
on `atlasco.tenant_id`, for a role that can't bypass it and may not touch leaf partitions.
What is private and small lies in a schema per tenant. There only `search_path` keeps them apart: the application role
has the same rights in every tenant's schema, so a statement that names another schema outright reaches it. No code
writes schema names into statements, except migrations.
Both are set together by the database backend, from one ContextVar (`tenants.binding`).
"""
