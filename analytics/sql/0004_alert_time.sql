-- Rules by the clock: one fires when its time is up, though nothing is written; `stale` when nothing was for so long.
ALTER TABLE alert_rules DROP CONSTRAINT alert_rules_operator_check;
ALTER TABLE alert_rules ADD CONSTRAINT alert_rules_operator_check
    CHECK (operator IN ('gt', 'ge', 'lt', 'le', 'eq', 'ne', 'stale') AND (operator <> 'stale' OR for_seconds > 0));
-- due_us: when it fires if no other sample comes, on the primary's clock; 0 for never.
ALTER TABLE alert_states ADD COLUMN due_us bigint NOT NULL DEFAULT 0, ADD COLUMN last_value double precision;
-- NULL: no number had come.
ALTER TABLE alert_firings ALTER COLUMN value DROP NOT NULL;
