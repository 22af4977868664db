-- The index autopilot: what could be indexed, and the building of it in small batches. `is_indexed` means that the index
-- holds all short values of an attribute; `is_indexing`, that writers mark them already.

-- name: job_request
-- A job that is under way begins anew when the opposite is asked for; asked for the same, it goes on.
INSERT INTO attribute_index_jobs (tenant_id, attribute_name, action, created_at, reason, requested_by, benefit_ms, entities_total)
SELECT %(tenant_id)s, m.attribute_name, %(action)s, %(now)s, %(reason)s, %(requested_by)s, %(benefit_ms)s,
       coalesce((SELECT entities FROM tenant_statistics WHERE tenant_id = %(tenant_id)s), 0)
FROM attribute_metadata m
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = ANY (%(names)s::text[])
  AND (%(action)s = 'build' AND NOT m.is_indexed OR %(action)s = 'drop' AND (m.is_indexed OR m.is_indexing))
ORDER BY m.attribute_name
ON CONFLICT (tenant_id, attribute_name) DO UPDATE
SET action = excluded.action, status = 'queued', after_id = DEFAULT, barrier = NULL, entities_done = 0, values_done = 0,
    work_ms = 0, entities_total = excluded.entities_total, benefit_ms = excluded.benefit_ms, reason = excluded.reason,
    requested_by = excluded.requested_by, detail = '', created_at = excluded.created_at, started_at = NULL, finished_at = NULL
WHERE attribute_index_jobs.status NOT IN ('queued', 'running') OR attribute_index_jobs.action <> excluded.action
RETURNING attribute_name;

-- name: jobs_lock
-- One worker for a tenant at a time.
SELECT pg_try_advisory_xact_lock(hashtext('attribute_index'), %(tenant_id)s);

-- name: jobs_start
-- What begins at the same time goes through the tenant together.
WITH started AS (
    UPDATE attribute_index_jobs SET status = 'running', started_at = %(now)s
    WHERE tenant_id = %(tenant_id)s AND status = 'queued'
    RETURNING attribute_name, action
)
UPDATE attribute_metadata m
SET is_indexing = s.action = 'build', is_indexed = false
FROM started s
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = s.attribute_name;

-- name: jobs_bar
-- Writers that began before this may not have seen that values are to be marked. After the start was committed.
UPDATE attribute_index_jobs SET barrier = pg_snapshot_xmax(pg_current_snapshot())
WHERE tenant_id = %(tenant_id)s AND status = 'running' AND barrier IS NULL;

-- name: jobs_next
-- The jobs that are least far; none while a writer from before the start is still at work.
SELECT action, after_id, array_agg(attribute_name::text ORDER BY attribute_name),
       bool_and(action = 'drop' OR barrier <= pg_snapshot_xmin(pg_current_snapshot()))
FROM attribute_index_jobs
WHERE tenant_id = %(tenant_id)s AND status = 'running' AND barrier IS NOT NULL
GROUP BY action, after_id
ORDER BY after_id, action
LIMIT 1;

-- name: values_mark
-- A slice of the tenant. Values are locked in the order in which writers write them, so nobody deadlocks. One that is
-- written meanwhile is marked by its writer. It begins after a row, not after an id: search/run.py says why.
WITH slice AS MATERIALIZED (
    SELECT entity_id, attributes
    FROM entities
    WHERE tenant_id = %(tenant_id)s AND (tenant_id, entity_id) > (%(tenant_id)s, %(after_id)s)
    ORDER BY entity_id
    LIMIT %(limit)s
), named AS MATERIALIZED (
    SELECT s.entity_id, n.name
    FROM slice s CROSS JOIN LATERAL unnest(%(names)s::text[]) n(name)
    WHERE %(few)s AND s.attributes ? n.name
    UNION ALL
    SELECT s.entity_id, k.name
    FROM slice s CROSS JOIN LATERAL jsonb_object_keys(s.attributes) k(name)
    WHERE NOT %(few)s AND k.name = ANY (%(names)s::text[])
), locked AS MATERIALIZED (
    SELECT ea.entity_id, ea.attribute_name
    FROM (SELECT entity_id, name FROM named ORDER BY entity_id, name COLLATE "C") n
    CROSS JOIN LATERAL (
        SELECT *
        FROM entity_attributes x
        WHERE x.tenant_id = %(tenant_id)s AND x.entity_id = n.entity_id AND x.attribute_name = n.name
          AND x.indexed <> %(marked)s AND (NOT %(marked)s OR x.value_type <> 'removed' AND octet_length(x.attribute_value) <= 1000)
        FOR NO KEY UPDATE
    ) ea
), marked AS (
    UPDATE entity_attributes ea
    SET indexed = %(marked)s
    FROM locked l
    WHERE ea.tenant_id = %(tenant_id)s AND ea.entity_id = l.entity_id AND ea.attribute_name = l.attribute_name
    RETURNING ea.attribute_name
)
SELECT count(*), max(entity_id),
       (SELECT coalesce(jsonb_object_agg(attribute_name, n), '{}')::text
        FROM (SELECT attribute_name, count(*) AS n FROM marked GROUP BY attribute_name) c)
FROM slice;

-- name: jobs_advance
UPDATE attribute_index_jobs
SET after_id = %(after_id)s, entities_done = entities_done + %(entities)s,
    values_done = values_done + coalesce((%(values)s::jsonb ->> attribute_name)::bigint, 0),
    work_ms = work_ms + %(work_ms)s
WHERE tenant_id = %(tenant_id)s AND attribute_name = ANY (%(names)s::text[]) AND status = 'running';

-- name: jobs_finish
-- The whole tenant is marked: searches may rely on it from this commit on.
WITH finished AS (
    UPDATE attribute_index_jobs
    SET status = 'done', finished_at = %(now)s
    WHERE tenant_id = %(tenant_id)s AND attribute_name = ANY (%(names)s::text[]) AND status = 'running'
    RETURNING attribute_name, action
)
UPDATE attribute_metadata m
SET is_indexed = f.action = 'build', is_indexing = false
FROM finished f
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = f.attribute_name;

-- name: jobs_open
SELECT EXISTS (SELECT FROM attribute_index_jobs WHERE tenant_id = %(tenant_id)s AND status IN ('queued', 'running'));

-- name: jobs_list
SELECT attribute_name, action, status, entities_done, values_done, entities_total, work_ms, benefit_ms, reason,
       requested_by, detail, created_at, started_at, finished_at
FROM attribute_index_jobs
WHERE tenant_id = %(tenant_id)s
ORDER BY status NOT IN ('queued', 'running'), created_at DESC, attribute_name
LIMIT %(limit)s;

-- name: indexed_list
SELECT m.attribute_name, coalesce(u.searches * 0.5 ^ (extract(epoch FROM %(now)s - u.last_used_at) / %(half_life_s)s), 0),
       u.last_used_at, m.value_bytes,
       (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(m.value_types))::bigint
FROM attribute_metadata m
LEFT JOIN attribute_usage u ON u.tenant_id = m.tenant_id AND u.attribute_name = m.attribute_name
WHERE m.tenant_id = %(tenant_id)s AND m.is_indexed
ORDER BY 2 DESC, m.attribute_name
LIMIT %(limit)s;

-- name: candidates_list
-- What searches test and no index knows, the most time first.
SELECT m.attribute_name, u.searches, u.search_ms, m.value_bytes,
       (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(m.value_types))::bigint
FROM attribute_usage u
JOIN attribute_metadata m ON m.tenant_id = u.tenant_id AND m.attribute_name = u.attribute_name
WHERE u.tenant_id = %(tenant_id)s AND NOT m.is_indexed AND NOT m.is_indexing AND m.status = 'active'
ORDER BY u.search_ms * 0.5 ^ (extract(epoch FROM %(now)s - u.last_used_at) / %(half_life_s)s) DESC, m.attribute_name
LIMIT %(limit)s;

-- name: samples_list
SELECT body::text, searches, search_ms
FROM search_samples
WHERE tenant_id = %(tenant_id)s
ORDER BY search_ms * 0.5 ^ (extract(epoch FROM %(now)s - last_used_at) / %(half_life_s)s) DESC
LIMIT %(limit)s;

-- name: usage_write
-- What was counted fades while nobody searches: by half in half_life_s.
INSERT INTO attribute_usage AS u (tenant_id, attribute_name, searches, search_ms, last_used_at)
SELECT %(tenant_id)s, r.name, r.searches, r.ms, %(now)s
FROM jsonb_to_recordset(%(usage)s::jsonb) AS r(name text, searches float8, ms float8)
WHERE EXISTS (SELECT FROM attribute_metadata m WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = r.name)
ORDER BY r.name
ON CONFLICT (tenant_id, attribute_name) DO UPDATE
SET searches = u.searches * 0.5 ^ (greatest(extract(epoch FROM excluded.last_used_at - u.last_used_at), 0) / %(half_life_s)s) + excluded.searches,
    search_ms = u.search_ms * 0.5 ^ (greatest(extract(epoch FROM excluded.last_used_at - u.last_used_at), 0) / %(half_life_s)s) + excluded.search_ms,
    last_used_at = greatest(u.last_used_at, excluded.last_used_at);

-- name: samples_write
INSERT INTO search_samples AS s (tenant_id, fingerprint, body, searches, search_ms, last_used_at)
SELECT %(tenant_id)s, sha256(r.body::text::bytea), r.body, sum(r.searches), sum(r.ms), %(now)s
FROM jsonb_to_recordset(%(samples)s::jsonb) AS r(body jsonb, searches float8, ms float8)
GROUP BY r.body
ORDER BY 2
ON CONFLICT (tenant_id, fingerprint) DO UPDATE
SET searches = s.searches + excluded.searches, search_ms = s.search_ms + excluded.search_ms,
    last_used_at = greatest(s.last_used_at, excluded.last_used_at);

-- name: samples_trim
-- The searches that took the most time of late are kept.
DELETE FROM search_samples s
USING (
    SELECT fingerprint
    FROM search_samples
    WHERE tenant_id = %(tenant_id)s
    ORDER BY search_ms * 0.5 ^ (extract(epoch FROM %(now)s - last_used_at) / %(half_life_s)s) DESC
    OFFSET %(kept)s
) gone
WHERE s.tenant_id = %(tenant_id)s AND s.fingerprint = gone.fingerprint;

-- name: hot_scores_write
-- 0 to 1: the attribute's share of the time that searches take, among those who take the most.
UPDATE attribute_metadata m
SET hot_score = h.score
FROM (
    SELECT m.attribute_name, coalesce(round((u.weight / nullif(max(u.weight) OVER (), 0))::numeric, 4)::float8, 0) AS score
    FROM attribute_metadata m
    LEFT JOIN (
        SELECT attribute_name,
               search_ms * 0.5 ^ (greatest(extract(epoch FROM %(now)s - last_used_at), 0) / %(half_life_s)s) AS weight
        FROM attribute_usage WHERE tenant_id = %(tenant_id)s
    ) u ON u.attribute_name = m.attribute_name
    WHERE m.tenant_id = %(tenant_id)s AND (u.weight IS NOT NULL OR m.hot_score <> 0)
) h
WHERE m.tenant_id = %(tenant_id)s AND m.attribute_name = h.attribute_name AND abs(m.hot_score - h.score) > 0.001;
