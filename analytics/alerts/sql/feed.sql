-- The feed's side of the alerts, as the change feed's role: all tenants.

-- name: position_read
SELECT cluster, lsn, heartbeat_seq, heartbeat_ts_us, heartbeat_lsn FROM alert_position;

-- name: position_write
INSERT INTO alert_position (cluster, lsn, heartbeat_seq, heartbeat_ts_us, heartbeat_lsn)
VALUES (%(cluster)s, %(lsn)s, %(seq)s, %(ts_us)s, %(beat_lsn)s)
ON CONFLICT (is_only) DO UPDATE
SET cluster = excluded.cluster, lsn = excluded.lsn, heartbeat_seq = excluded.heartbeat_seq,
    heartbeat_ts_us = excluded.heartbeat_ts_us, heartbeat_lsn = excluded.heartbeat_lsn;

-- name: revision
SELECT revision FROM alert_revision;

-- name: rules
SELECT rule_id, tenant_id, name, attribute_name, entity_type, external_id, operator, threshold, clear_threshold,
       for_samples, for_seconds, webhook_url, webhook_nonce, emails, effective_lsn
FROM alert_rules
WHERE is_enabled
ORDER BY rule_id;

-- name: rules_hold
-- Those that are still in force as they were, and stay so until the transaction ends.
SELECT r.rule_id
FROM alert_rules r
JOIN unnest(%(rule_ids)s::bigint[], %(effective_lsns)s::bigint[]) AS known (rule_id, effective_lsn)
  ON known.rule_id = r.rule_id AND known.effective_lsn = r.effective_lsn
WHERE r.is_enabled
ORDER BY r.rule_id
FOR SHARE OF r;

-- name: states
SELECT rule_id, entity_id, run_length, run_since_us, firing_lsn, last_lsn, due_us, last_value, last_us, is_found
FROM alert_states
WHERE rule_id = ANY (%(rule_ids)s);

-- name: entities
SELECT tenant_id, entity_id, entity_type, external_id
FROM entities
WHERE tenant_id = %(tenant_id)s AND entity_id = ANY (%(entity_ids)s);

-- name: states_write
-- Columns as arrays, in the order of `states`.
INSERT INTO alert_states (rule_id, entity_id, tenant_id, run_length, run_since_us, firing_lsn, last_lsn, due_us, last_value,
                          last_us, is_found)
SELECT s.rule_id, s.entity_id, r.tenant_id, s.run_length, s.run_since_us, s.firing_lsn, s.last_lsn, s.due_us, s.last_value,
       s.last_us, s.is_found
FROM unnest(%s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::double precision[], %s::bigint[], %s::boolean[])
     AS s (rule_id, entity_id, run_length, run_since_us, firing_lsn, last_lsn, due_us, last_value, last_us, is_found)
JOIN alert_rules r ON r.rule_id = s.rule_id
ON CONFLICT (rule_id, entity_id) DO UPDATE
SET run_length = excluded.run_length, run_since_us = excluded.run_since_us, firing_lsn = excluded.firing_lsn,
    last_lsn = excluded.last_lsn, due_us = excluded.due_us, last_value = excluded.last_value, last_us = excluded.last_us,
    is_found = excluded.is_found;

-- name: states_delete
DELETE FROM alert_states s
USING unnest(%s::bigint[], %s::bigint[]) AS gone (rule_id, entity_id)
WHERE s.rule_id = gone.rule_id AND s.entity_id = gone.entity_id;

-- name: firing_write
-- Nothing comes back where it fired before, with the same sample, or where the rule is gone.
INSERT INTO alert_firings (tenant_id, rule_id, entity_id, entity_type, external_id, fired_lsn, fired_us, value, noticed_at)
SELECT tenant_id, rule_id, %(entity_id)s, %(entity_type)s, %(external_id)s, %(lsn)s, %(at_us)s, %(value)s, %(now)s
FROM alert_rules WHERE rule_id = %(rule_id)s
ON CONFLICT (rule_id, entity_id, fired_lsn) DO NOTHING
RETURNING firing_id, entity_type, external_id;

-- name: firing_clear
UPDATE alert_firings SET cleared_us = %(at_us)s, cleared_value = %(value)s
WHERE rule_id = %(rule_id)s AND entity_id = %(entity_id)s AND fired_lsn = %(firing_lsn)s AND cleared_us IS NULL
RETURNING firing_id, entity_type, external_id;

-- name: present
-- What a rule's entities have now, of values that were set since it is in force; of a `stale` rule, however old. And since
-- when it is in force.
SELECT a.entity_id, e.entity_type, e.external_id, a.numeric_key, (extract(epoch FROM a.updated_at) * 1000000)::bigint,
       (extract(epoch FROM r.effective_at) * 1000000)::bigint
FROM entity_attributes a
JOIN entities e ON e.tenant_id = a.tenant_id AND e.entity_id = a.entity_id
JOIN alert_rules r ON r.rule_id = %(rule_id)s
WHERE a.tenant_id = r.tenant_id AND a.attribute_name = r.attribute_name AND a.value_type <> 'removed'
  AND (r.operator = 'stale' OR a.updated_at >= r.effective_at)
  AND (r.entity_type = '' OR e.entity_type = r.entity_type) AND (r.external_id = '' OR e.external_id = r.external_id);

-- name: removed
-- Entities with a state of the rule that have no value any more, or are gone themselves.
SELECT s.entity_id
FROM alert_states s
JOIN alert_rules r ON r.rule_id = s.rule_id
WHERE s.rule_id = %(rule_id)s AND NOT EXISTS (
    SELECT FROM entity_attributes a
    WHERE a.tenant_id = r.tenant_id AND a.entity_id = s.entity_id AND a.attribute_name = r.attribute_name
      AND a.value_type <> 'removed');
