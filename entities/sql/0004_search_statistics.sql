-- What the planner and the index autopilot know of a tenant, and what they are doing to its attributes.

ALTER TABLE attribute_metadata
    ADD is_indexing boolean NOT NULL DEFAULT false,      -- Writers mark its values already; searches can't rely on them yet.
    ADD value_bytes double precision;                    -- Mean length of its values as text.

-- One row a tenant: its size, and entities drawn at random by which combined conditions are estimated.
CREATE TABLE tenant_statistics (
    tenant_id integer PRIMARY KEY,
    entities bigint NOT NULL,
    sample bigint[] NOT NULL,                            -- Ids only: what a deleted entity held is kept nowhere.
    analyzed_at timestamptz NOT NULL
);

-- How often searches test an attribute, and the time they took. Both fade: half of it counts no more after a week.
CREATE TABLE attribute_usage (
    tenant_id integer NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    searches double precision NOT NULL,
    search_ms double precision NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attribute_name)
);

-- Searches of late, the same ones counted together: what the autopilot tries a new index on.
CREATE TABLE search_samples (
    tenant_id integer NOT NULL,
    fingerprint bytea NOT NULL,                          -- SHA-256 of the body.
    body jsonb NOT NULL,                                 -- entity_type, where, order_by, limit.
    searches double precision NOT NULL,
    search_ms double precision NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, fingerprint)
);

-- The last thing that was done about the index of an attribute, or is being done: `after_id` says how far it is.
CREATE TABLE attribute_index_jobs (
    tenant_id integer NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    action varchar(10) NOT NULL,
    status varchar(10) NOT NULL DEFAULT 'queued',
    after_id bigint NOT NULL DEFAULT -9223372036854775808,
    barrier xid8,                                        -- Writers that began before it may not know of the job yet.
    entities_done bigint NOT NULL DEFAULT 0,
    values_done bigint NOT NULL DEFAULT 0,
    entities_total bigint NOT NULL DEFAULT 0,
    work_ms double precision NOT NULL DEFAULT 0,
    benefit_ms double precision,                         -- What a search gains, measured or estimated before it began.
    reason text NOT NULL DEFAULT '',
    requested_by text NOT NULL DEFAULT '',               -- Empty: the autopilot.
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT attribute_index_jobs_action CHECK (action IN ('build', 'drop')),
    CONSTRAINT attribute_index_jobs_status CHECK (status IN ('queued', 'running', 'done', 'cancelled', 'failed')),
    PRIMARY KEY (tenant_id, attribute_name)
);

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['tenant_statistics', 'attribute_usage', 'search_samples', 'attribute_index_jobs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT tenant_bound())) WITH CHECK (tenant_id = (SELECT tenant_bound()))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
    END LOOP;
END
$$;
