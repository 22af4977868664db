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

-- name: audit_append
-- When it was and whose log it stands in are the table's own defaults: the application can't say otherwise.
insert into public.audit_log (actor_kind, actor, action, subject, before, after, via, ip, request_id)
values (%(actor_kind)s, %(actor)s, %(action)s, %(subject)s, %(before)s, %(after)s, %(via)s, %(ip)s, %(request_id)s)

-- name: audit_actions
-- From one action to the next by the index, however many entries each has.
with recursive found as (
    (select action from public.audit_log where tenant_id = %(tenant_id)s order by action limit 1)
    union all
    select (
        select l.action from public.audit_log as l
        where l.tenant_id = %(tenant_id)s and l.action > found.action order by l.action limit 1
    )
    from found where found.action is not null
)
select action from found where action is not null

-- name: audit_erase
select public.audit_log_erase(%(tenant_id)s)

-- name: audit_prune_plan
-- How much an owner's prune would remove, by month.
select date_trunc('month', at, 'UTC'), count(*) from public.audit_log where at < %(before)s group by 1 order by 1

-- name: audit_prune
-- A batch at a time: one statement over years of entries would hold its locks, and a replica, for minutes.
with old as (
    select audit_id from public.audit_log where at < %(before)s order by at limit %(batch)s for update skip locked
)
delete from public.audit_log as l using old where l.audit_id = old.audit_id

-- name: traffic_add
-- In order of the key: two processes that add at once must not wait for each other in a circle.
insert into public.tenant_traffic as t (tenant_id, slot, requests, writes, throttled, failed)
select * from unnest(
    %(tenant_ids)s::integer[], %(slots)s::timestamptz[], %(requests)s::bigint[], %(writes)s::bigint[],
    %(throttled)s::bigint[], %(failed)s::bigint[]
) as added (tenant_id, slot, requests, writes, throttled, failed)
order by 1, 2
on conflict (tenant_id, slot) do update set
    requests = t.requests + excluded.requests,
    writes = t.writes + excluded.writes,
    throttled = t.throttled + excluded.throttled,
    failed = t.failed + excluded.failed

-- name: traffic_expire
delete from public.tenant_traffic where slot < %(before)s

-- name: traffic_of_tenant
-- One tenant's calls in equal steps, empty ones too.
select step, coalesce(sum(requests), 0)::bigint, coalesce(sum(writes), 0)::bigint,
       coalesce(sum(throttled), 0)::bigint, coalesce(sum(failed), 0)::bigint
from generate_series(%(since)s::timestamptz, %(until)s::timestamptz, %(step)s::interval) as step
left join public.tenant_traffic as t
    on t.tenant_id = %(tenant_id)s and t.slot >= step and t.slot < step + %(step)s::interval
group by step
order by step

-- name: traffic_troubled
-- Tenants whose calls failed or were held back lately.
select n.slug, sum(t.throttled)::bigint, sum(t.failed)::bigint, max(t.slot)
from public.tenant_traffic as t join public.tenants_tenant as n on n.id = t.tenant_id
where t.slot >= %(since)s and (t.throttled > 0 or t.failed > 0)
group by n.slug
order by sum(t.failed) desc, sum(t.throttled) desc
limit %(limit)s
