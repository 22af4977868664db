-- name: migration_state
-- All that a migrate with nothing to do has to know: what public has applied, and the versions of the tenant schemas.
select
    array(select app || '.' || name from public.django_migrations),
    obj_description(to_regnamespace('tenant_template')::oid, 'pg_namespace'),
    array(select id from public.tenants_tenant where schema_version <> %(version)s order by id)

-- name: migration_lock
-- Waits for tenants that are being created, and lets none start before the end.
select pg_advisory_lock(hashtext('atlasco.tenant_schemas'))

-- name: migration_unlock
select pg_advisory_unlock(hashtext('atlasco.tenant_schemas'))

-- name: role_facts
-- What the role of this connection may do that a serving process must not.
select
    current_user,
    r.rolsuper,
    r.rolbypassrls,
    exists (
        select from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            and pg_has_role(current_user, c.relowner, 'MEMBER')
    )
from pg_roles as r
where r.rolname = current_user

-- name: tenant_id_next
-- The lock that the clone needs, taken before any row: after it, a migration of tenants_tenant and we could deadlock.
select nextval(pg_get_serial_sequence('public.tenants_tenant', 'id'))
from pg_advisory_xact_lock_shared(hashtext('atlasco.tenant_schemas'))

-- name: tenant_schema_create
select public.tenant_schema_create(%(tenant_id)s)

-- name: tenant_schema_drop
select public.tenant_schema_drop(%(tenant_id)s)

-- name: tenant_dedicate
-- From the migrations of `entities`: partitions of its own for this tenant.
select public.tenant_dedicate(%(tenant_id)s)
