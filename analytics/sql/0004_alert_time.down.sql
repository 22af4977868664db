DELETE FROM alert_rules WHERE operator = 'stale';
ALTER TABLE alert_rules DROP CONSTRAINT alert_rules_operator_check;
ALTER TABLE alert_rules ADD CONSTRAINT alert_rules_operator_check CHECK (operator IN ('gt', 'ge', 'lt', 'le', 'eq', 'ne'));
ALTER TABLE alert_states DROP COLUMN due_us, DROP COLUMN last_value;
ALTER TABLE alert_firings ALTER COLUMN value SET NOT NULL;
