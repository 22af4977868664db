-- What members ask workers for in the browser: results as files, and the same change to many entities.

CREATE TABLE export_jobs (
    job_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,                              -- Of the file; the job is remembered longer.
    status varchar(20) NOT NULL DEFAULT 'queued',
    format varchar(20) NOT NULL,
    query jsonb NOT NULL,                                -- The body of a search.
    columns jsonb NOT NULL DEFAULT '[]',                 -- Names of attributes; empty for all.
    file_name text NOT NULL DEFAULT '',
    file_path text NOT NULL DEFAULT '',                  -- In Django's default storage; empty where there is no file.
    rows_expected bigint,                                -- About how many there will be.
    rows_done bigint NOT NULL DEFAULT 0,
    bytes_done bigint NOT NULL DEFAULT 0,
    is_cut boolean NOT NULL DEFAULT false,               -- A limit ended it before the result did.
    detail text NOT NULL DEFAULT '',
    created_by text NOT NULL DEFAULT '',
    attempts smallint NOT NULL DEFAULT 0,
    CONSTRAINT export_jobs_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT export_jobs_format CHECK (format IN ('csv', 'ndjson', 'parquet'))
);
CREATE INDEX export_jobs_newest ON export_jobs (tenant_id, created_at DESC);

CREATE TABLE bulk_edits (
    edit_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    status varchar(20) NOT NULL DEFAULT 'queued',
    undo_of uuid,                                        -- The edit that this one takes back.
    query jsonb,                                         -- Of "all that match"; NULL where entities were chosen one by one.
    entity_ids bigint[] NOT NULL DEFAULT '{}',
    changes jsonb NOT NULL DEFAULT '{}',                 -- {name: value, or null to remove}.
    entities_total bigint NOT NULL DEFAULT 0,            -- About how many there were when it was asked for.
    entities_done bigint NOT NULL DEFAULT 0,
    entities_changed bigint NOT NULL DEFAULT 0,
    after_entity_id bigint NOT NULL DEFAULT -9223372036854775808, -- It goes on with the next one.
    conflicts jsonb NOT NULL DEFAULT '[]',               -- [{entity_id, external_id, name, detail}], the first hundred.
    conflicts_count bigint NOT NULL DEFAULT 0,
    detail text NOT NULL DEFAULT '',
    created_by text NOT NULL DEFAULT '',
    attempts smallint NOT NULL DEFAULT 0,
    CONSTRAINT bulk_edits_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled'))
);
CREATE INDEX bulk_edits_newest ON bulk_edits (tenant_id, created_at DESC);
-- An edit is taken back once.
CREATE UNIQUE INDEX bulk_edits_undo ON bulk_edits (tenant_id, undo_of) WHERE undo_of IS NOT NULL AND status <> 'cancelled';

-- What each entity had before, so that an edit can be taken back.
CREATE TABLE bulk_edit_changes (
    tenant_id integer NOT NULL,
    edit_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    at timestamptz NOT NULL,                             -- Of the values that the edit set.
    before jsonb NOT NULL,                               -- {name: value, or null where there was none}, of changed names.
    PRIMARY KEY (tenant_id, edit_id, entity_id)
);
CREATE INDEX bulk_edit_changes_entity ON bulk_edit_changes (tenant_id, entity_id, at DESC);

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['export_jobs', 'bulk_edits', 'bulk_edit_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT tenant_bound())) WITH CHECK (tenant_id = (SELECT tenant_bound()))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
    END LOOP;
END
$$;
