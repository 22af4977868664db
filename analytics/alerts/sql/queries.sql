-- The tenant's side of the alerts: pages and the API, with the tenant bound.

-- name: rules
SELECT r.rule_id, r.name, r.attribute_name, r.entity_type, r.external_id, r.operator, r.threshold, r.clear_threshold,
       r.for_samples, r.for_seconds, r.is_enabled, r.webhook_url, r.emails, r.created_at, r.updated_at,
       (SELECT count(*) FROM alert_firings f WHERE f.rule_id = r.rule_id AND f.cleared_us IS NULL)
FROM alert_rules r
WHERE r.tenant_id = %(tenant_id)s AND r.rule_id > %(after)s
ORDER BY r.rule_id
LIMIT %(limit)s;

-- name: rules_lock
-- One at a time: of two rules made beside each other, neither would count the other.
SELECT pg_advisory_xact_lock(hashtext('alert_rules'), %(tenant_id)s);

-- name: rules_count
SELECT count(*) FROM alert_rules WHERE tenant_id = %(tenant_id)s;

-- name: stale_watched
-- How many entities the tenant's other `stale` rules have states of, and how many a new one would begin with; as many as
-- matter.
SELECT (SELECT count(*) FROM (
            SELECT FROM alert_rules r JOIN alert_states s ON s.rule_id = r.rule_id
            WHERE r.tenant_id = %(tenant_id)s AND r.operator = 'stale' AND r.rule_id <> %(rule_id)s
            LIMIT %(limit)s) others)
     + (SELECT count(*) FROM (
            SELECT FROM entity_attributes a
            WHERE a.tenant_id = %(tenant_id)s AND a.attribute_name = %(attribute)s AND a.value_type <> 'removed'
              AND (%(entity_type)s = '' OR EXISTS (
                  SELECT FROM entities e WHERE e.tenant_id = a.tenant_id AND e.entity_id = a.entity_id
                  AND e.entity_type = %(entity_type)s))
            LIMIT %(limit)s) ours);

-- name: rule_create
-- From here on: what is committed before this position is not tested.
INSERT INTO alert_rules (tenant_id, name, attribute_name, entity_type, external_id, operator, threshold, clear_threshold,
                         for_samples, for_seconds, is_enabled, webhook_url, webhook_nonce, emails, effective_lsn,
                         effective_at, created_at, updated_at)
VALUES (%(tenant_id)s, %(name)s, %(attribute)s, %(entity_type)s, %(external_id)s, %(operator)s, %(threshold)s,
        %(clear_threshold)s, %(for_samples)s, %(for_seconds)s, %(is_enabled)s, %(webhook_url)s, %(webhook_nonce)s,
        %(emails)s, (pg_current_wal_insert_lsn() - '0/0')::bigint, %(now)s, %(now)s, %(now)s)
RETURNING rule_id;

-- name: rule_hold
-- A rule as the feed reads it. Until the transaction ends nobody changes it, and the feed writes nothing that it judged by it.
SELECT rule_id, tenant_id, name, attribute_name, entity_type, external_id, operator, threshold, clear_threshold,
       for_samples, for_seconds, webhook_url, webhook_nonce, emails, effective_lsn
FROM alert_rules
WHERE tenant_id = %(tenant_id)s AND rule_id = %(rule_id)s
FOR NO KEY UPDATE;

-- name: rule_update
UPDATE alert_rules
SET name = %(name)s, attribute_name = %(attribute)s, entity_type = %(entity_type)s, external_id = %(external_id)s,
    operator = %(operator)s, threshold = %(threshold)s, clear_threshold = %(clear_threshold)s,
    for_samples = %(for_samples)s, for_seconds = %(for_seconds)s, is_enabled = %(is_enabled)s,
    webhook_url = %(webhook_url)s, webhook_nonce = coalesce(%(webhook_nonce)s, webhook_nonce), emails = %(emails)s,
    effective_lsn = CASE WHEN %(restarts)s THEN (pg_current_wal_insert_lsn() - '0/0')::bigint ELSE effective_lsn END,
    effective_at = CASE WHEN %(restarts)s THEN %(now)s ELSE effective_at END,
    updated_at = %(now)s
WHERE tenant_id = %(tenant_id)s AND rule_id = %(rule_id)s;

-- name: rule_end
-- Another condition knows nothing of the runs of the one before; what is open ends.
WITH gone AS (DELETE FROM alert_states WHERE tenant_id = %(tenant_id)s AND rule_id = %(rule_id)s)
UPDATE alert_firings SET cleared_us = %(now_us)s
WHERE tenant_id = %(tenant_id)s AND rule_id = %(rule_id)s AND cleared_us IS NULL
RETURNING firing_id, entity_id, entity_type, external_id, fired_lsn;

-- name: rule_delete
DELETE FROM alert_rules WHERE tenant_id = %(tenant_id)s AND rule_id = %(rule_id)s;

-- name: firings
SELECT f.firing_id, f.rule_id, r.name, r.attribute_name, r.operator, r.threshold, f.entity_id, f.entity_type,
       f.external_id, f.fired_us, f.value, f.noticed_at, f.cleared_us, f.cleared_value, f.acknowledged_at,
       f.acknowledged_by, f.fired_lsn
FROM alert_firings f JOIN alert_rules r ON r.rule_id = f.rule_id
WHERE f.tenant_id = %(tenant_id)s AND f.firing_id < %(before)s
  AND (%(rule_id)s::bigint IS NULL OR f.rule_id = %(rule_id)s)
  AND CASE %(state)s
      WHEN 'open' THEN f.cleared_us IS NULL
      WHEN 'cleared' THEN f.cleared_us IS NOT NULL
      WHEN 'unacknowledged' THEN f.acknowledged_at IS NULL
      ELSE true END
ORDER BY f.firing_id DESC
LIMIT %(limit)s;

-- name: firings_open_count
-- As many as anybody reads.
SELECT count(*) FROM (SELECT FROM alert_firings WHERE tenant_id = %(tenant_id)s AND cleared_us IS NULL
                      AND acknowledged_at IS NULL LIMIT 100) f;

-- name: firing_acknowledge
UPDATE alert_firings f
SET acknowledged_at = coalesce(f.acknowledged_at, %(now)s),
    acknowledged_by = CASE WHEN f.acknowledged_at IS NULL THEN %(who)s ELSE f.acknowledged_by END
FROM alert_rules r
WHERE f.tenant_id = %(tenant_id)s AND f.firing_id = %(firing_id)s AND r.rule_id = f.rule_id
RETURNING f.firing_id, f.rule_id, r.name, r.attribute_name, r.operator, r.threshold, f.entity_id, f.entity_type,
          f.external_id, f.fired_us, f.value, f.noticed_at, f.cleared_us, f.cleared_value, f.acknowledged_at,
          f.acknowledged_by, f.fired_lsn;

-- name: evaluated
SELECT heartbeat_ts_us FROM alert_position;

-- name: history
-- ClickHouse: an attribute's samples of some days, entity by entity, in order. is_any: those that are not numbers, too.
SELECT h.entity_id, h.updated_us, h.lsn, if(h.value_type = 'number', h.number, NULL), h.value_type != 'removed'
FROM (
    SELECT entity_id, updated_us, lsn, value_type, number
    FROM attribute_history FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = {attribute:String} AND updated_us >= {from_us:Int64}
      AND ({is_any:UInt8} = 1 OR value_type IN ('number', 'removed'))
) AS h
INNER JOIN (
    SELECT entity_id FROM attribute_values FINAL
    WHERE tenant_id = {tenant:UInt32} AND attribute_name = ''
      AND ({entity_type:String} = '' OR entity_type = {entity_type:String})
      AND ({external_id:String} = '' OR value = {external_id:String})
) AS e ON e.entity_id = h.entity_id
ORDER BY h.entity_id, h.updated_us, h.lsn
LIMIT {limit:UInt32}
