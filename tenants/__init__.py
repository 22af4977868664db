"""Who is asking: tenants, their hosts, members and tokens, and the binding of every connection to the tenant.

# Note [Two walls]
Entities and values lie in shared tables of `public`. There PostgreSQL itself keeps tenants apart: row-level security
on `atlasco.tenant_id`, for a role that can't bypass it and may not touch leaf partitions.
What is private and small lies in a schema per tenant. `search_path` finds it; that it is the right one, row-level
security says again: every table of `tenant_7` shows and takes rows only while `atlasco.tenant_id` is 7. So a statement
that names another tenant's schema outright reaches nothing, and unbound there is nothing in any.
What the walls do not stop: whoever can send any statement can bind any tenant; sequences and the catalog are open to
all; and behind a tenant's schema `search_path` has `public`, whose own members and sessions (those of the platform)
carry no policy. A table that a tenant's schema lacked would be looked for there, which is why only `migrate_schemas`
changes schemas, and a clone is compared with the template to the last constraint.
Both are set together by the database backend, from one ContextVar (`tenants.binding`).
"""
