-- Names seen for the first time go into the registry. Returns those that are quarantined: names that look like ids, and
-- names beyond the room that the tenant has left, which is counted only here. Writers of one tenant take turns, from here
-- to their end: two that counted at once would both use what is left.
CREATE OR REPLACE FUNCTION attribute_names_add(
    p_tenant_id integer, p_names text[], p_types text[], p_now timestamptz, p_names_max bigint, p_new_names_max bigint
) RETURNS SETOF text
    LANGUAGE sql
    SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(hashtext('attribute_names'), p_tenant_id);
    WITH fresh AS (
        SELECT n.name, n.kind, attribute_name_suspect(n.name) AS suspect
        FROM unnest(p_names, p_types) AS n(name, kind)
        WHERE NOT EXISTS (
            SELECT FROM attribute_metadata m WHERE m.tenant_id = p_tenant_id AND m.attribute_name = n.name
        )
    ), placed AS (
        SELECT f.*, row_number() OVER (PARTITION BY f.suspect IS NULL ORDER BY f.name COLLATE "C") AS place FROM fresh f
    ), room AS (
        SELECT coalesce((SELECT t.quota_attributes FROM tenants_tenant t WHERE t.id = p_tenant_id), p_names_max)
                   - count(*) AS in_all,
               p_new_names_max - count(*) FILTER (WHERE m.first_seen_at > p_now - interval '1 hour') AS this_hour
        FROM attribute_metadata m
        WHERE m.tenant_id = p_tenant_id AND m.status <> 'quarantined' AND EXISTS (SELECT FROM fresh WHERE suspect IS NULL)
    ), named AS (
        INSERT INTO attribute_metadata (tenant_id, attribute_name, value_type, first_seen_at, status, quarantine_reason)
        SELECT p_tenant_id, p.name, p.kind, p_now,
               CASE WHEN r.reason IS NULL THEN 'active' ELSE 'quarantined' END, coalesce(r.reason, '')
        FROM placed p
        CROSS JOIN room
        CROSS JOIN LATERAL (SELECT coalesce(p.suspect, CASE
            WHEN p.place > room.in_all THEN 'quota' WHEN p.place > room.this_hour THEN 'flood'
        END)) r(reason)
        ORDER BY p.name COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING attribute_name, status
    )
    SELECT attribute_name::text FROM named WHERE status = 'quarantined' ORDER BY attribute_name;
END;
