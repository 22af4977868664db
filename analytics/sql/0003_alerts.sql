-- Alert rules, their state for each entity, and what fired. Written by pages and the API as the tenant, and evaluated by
-- the change feed's role, which goes through the rules of all tenants and writes states and firings with its position.
CREATE TABLE alert_rules (
    rule_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer NOT NULL,
    name varchar(200) NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    entity_type varchar(100) COLLATE "C" NOT NULL DEFAULT '',    -- Empty: entities of any type.
    external_id varchar(512) COLLATE "C" NOT NULL DEFAULT '',    -- Empty: each of them, by itself.
    operator text NOT NULL CHECK (operator IN ('gt', 'ge', 'lt', 'le', 'eq', 'ne')),
    threshold double precision NOT NULL,
    clear_threshold double precision,                            -- NULL: the threshold.
    for_samples integer NOT NULL DEFAULT 1 CHECK (for_samples BETWEEN 1 AND 10000),
    for_seconds integer NOT NULL DEFAULT 0 CHECK (for_seconds BETWEEN 0 AND 31536000),
    is_enabled boolean NOT NULL DEFAULT true,
    webhook_url text NOT NULL DEFAULT '',
    webhook_nonce text NOT NULL DEFAULT '',
    emails text[] NOT NULL DEFAULT '{}',
    effective_lsn bigint NOT NULL,                               -- What was committed before is not tested.
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX alert_rules_tenant ON alert_rules (tenant_id, rule_id);

-- Of entities whose samples are true now. Derived: may be thrown away together with the open firings.
CREATE TABLE alert_states (
    rule_id bigint NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    entity_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    run_length integer NOT NULL,
    run_since_us bigint NOT NULL,
    firing_lsn bigint,                                           -- NULL while it has not fired.
    last_lsn bigint NOT NULL,                                    -- A sample up to here was counted.
    PRIMARY KEY (rule_id, entity_id)
);

CREATE TABLE alert_firings (
    firing_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer NOT NULL,
    rule_id bigint NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    entity_id bigint NOT NULL,
    entity_type varchar(100) COLLATE "C" NOT NULL,
    external_id varchar(512) COLLATE "C" NOT NULL,
    fired_lsn bigint NOT NULL,                                   -- Of the sample: a replay fires the same again.
    fired_us bigint NOT NULL,                                    -- Instants of samples: any year from 1 to 9999.
    value double precision NOT NULL,
    noticed_at timestamptz NOT NULL,
    cleared_us bigint,
    cleared_value double precision,
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    CONSTRAINT alert_firings_once UNIQUE (rule_id, entity_id, fired_lsn)
);
CREATE INDEX alert_firings_newest ON alert_firings (tenant_id, firing_id);
CREATE INDEX alert_firings_open ON alert_firings (tenant_id, firing_id) WHERE cleared_us IS NULL OR acknowledged_at IS NULL;

-- How far the feed has evaluated. One row.
CREATE TABLE alert_position (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    cluster text NOT NULL,
    lsn bigint NOT NULL,
    heartbeat_seq bigint NOT NULL,
    heartbeat_ts_us bigint NOT NULL,
    heartbeat_lsn bigint NOT NULL
);
-- Moves with every change of a rule, so that the feed reads them again. One row.
CREATE TABLE alert_revision (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    revision bigint NOT NULL
);
INSERT INTO alert_revision (revision) VALUES (0);
CREATE FUNCTION alert_revision_move() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.alert_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION alert_revision_move();

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['alert_rules', 'alert_states', 'alert_firings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I TO atlasco_app USING (tenant_id = (SELECT tenant_bound())) WITH CHECK (tenant_id = (SELECT tenant_bound()))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
        -- A foreign key's cascade runs as the owner.
        EXECUTE format('CREATE POLICY cascade ON %I TO CURRENT_USER USING (true)', guarded);
    END LOOP;
    GRANT SELECT ON alert_position TO atlasco_app;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'atlasco_replication') THEN
        RETURN;
    END IF;
    CREATE POLICY feed ON alert_rules FOR SELECT TO atlasco_replication USING (true);
    GRANT SELECT ON alert_rules, alert_revision TO atlasco_replication;
    CREATE POLICY feed ON alert_states TO atlasco_replication USING (true) WITH CHECK (true);
    CREATE POLICY feed ON alert_firings TO atlasco_replication USING (true) WITH CHECK (true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON alert_states TO atlasco_replication;
    GRANT SELECT, INSERT, UPDATE ON alert_firings, alert_position TO atlasco_replication;
    CREATE POLICY feed ON notice_deliveries FOR INSERT TO atlasco_replication WITH CHECK (true);
    GRANT INSERT ON notice_deliveries TO atlasco_replication;
END
$$;
