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

-- name: states
SELECT rule_id, entity_id, run_length, run_since_us, firing_lsn, last_lsn, due_us, last_value FROM alert_states;

-- name: entities
SELECT tenant_id, entity_id, entity_type, external_id
FROM entities
WHERE tenant_id = %(tenant_id)s AND entity_id = ANY (%(entity_ids)s);

-- name: state_write
INSERT INTO alert_states (rule_id, entity_id, tenant_id, run_length, run_since_us, firing_lsn, last_lsn, due_us, last_value)
SELECT rule_id, %(entity_id)s, tenant_id, %(run_length)s, %(run_since_us)s, %(firing_lsn)s, %(last_lsn)s, %(due_us)s, %(value)s
FROM alert_rules WHERE rule_id = %(rule_id)s
ON CONFLICT (rule_id, entity_id) DO UPDATE
SET run_length = excluded.run_length, run_since_us = excluded.run_since_us, firing_lsn = excluded.firing_lsn,
    last_lsn = excluded.last_lsn, due_us = excluded.due_us, last_value = excluded.last_value;

-- name: state_delete
DELETE FROM alert_states WHERE rule_id = %(rule_id)s AND entity_id = %(entity_id)s;

-- name: firing_write
-- Nothing comes back where it fired before, with the same sample, or where the rule is gone.
INSERT INTO alert_firings (tenant_id, rule_id, entity_id, entity_type, external_id, fired_lsn, fired_us, value, noticed_at)
SELECT tenant_id, rule_id, %(entity_id)s, %(entity_type)s, %(external_id)s, %(lsn)s, %(at_us)s, %(value)s, %(now)s
FROM alert_rules WHERE rule_id = %(rule_id)s
ON CONFLICT (rule_id, entity_id, fired_lsn) DO NOTHING
RETURNING firing_id;

-- name: firing_clear
UPDATE alert_firings SET cleared_us = %(at_us)s, cleared_value = %(value)s
WHERE rule_id = %(rule_id)s AND entity_id = %(entity_id)s AND fired_lsn = %(firing_lsn)s AND cleared_us IS NULL
RETURNING firing_id;

-- name: present_stale
-- What a `stale` rule's entities have now, however old; and since when the rule is in force.
SELECT a.entity_id, e.entity_type, e.external_id, a.numeric_key, (extract(epoch FROM a.updated_at) * 1000000)::bigint,
       (extract(epoch FROM r.updated_at) * 1000000)::bigint
FROM entity_attributes a
JOIN entities e ON e.tenant_id = a.tenant_id AND e.entity_id = a.entity_id
JOIN alert_rules r ON r.rule_id = %(rule_id)s
WHERE a.tenant_id = r.tenant_id AND a.attribute_name = r.attribute_name AND a.value_type <> 'removed'
  AND (r.entity_type = '' OR e.entity_type = r.entity_type) AND (r.external_id = '' OR e.external_id = r.external_id)
ORDER BY a.entity_id
LIMIT %(limit)s;

-- name: present
-- What a rule's entities have now, of values that were set since it is in force.
SELECT a.entity_id, e.entity_type, e.external_id, a.numeric_key, (extract(epoch FROM a.updated_at) * 1000000)::bigint
FROM entity_attributes a
JOIN entities e ON e.tenant_id = a.tenant_id AND e.entity_id = a.entity_id
JOIN alert_rules r ON r.rule_id = %(rule_id)s
WHERE a.tenant_id = r.tenant_id AND a.attribute_name = r.attribute_name AND a.numeric_key IS NOT NULL
  AND a.updated_at >= r.updated_at
  AND (r.entity_type = '' OR e.entity_type = r.entity_type) AND (r.external_id = '' OR e.external_id = r.external_id)
ORDER BY a.entity_id
LIMIT %(limit)s;
