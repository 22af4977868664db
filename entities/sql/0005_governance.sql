-- What people decide about attributes: rules, aliases, what became of names nobody asked for; and imports of any file.

-- Why a name looks like an id that somebody took for a name, or NULL. Only names that are seen for the first time are
-- asked after. A run of digits of an ordinary series (`attr_00042`) is none.
CREATE FUNCTION attribute_name_suspect(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE
        WHEN name ~* '[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}' THEN 'uuid'
        WHEN name ~ '(19|20)[0-9]{2}[-_./](0[1-9]|1[0-2])[-_./]([0-2][0-9]|3[01])' THEN 'date'
        WHEN name ~ '[0-9]{7}' THEN 'digits'
        -- Twelve and more, with a digit among them: a hash, a MAC, never a word.
        WHEN name ~* '(^|[^0-9a-z])(?=[a-f]*[0-9])[0-9a-f]{12,}($|[^0-9a-z])' THEN 'hex'
    END;

ALTER TABLE attribute_metadata
    ADD COLUMN owner varchar(150) NOT NULL DEFAULT '',
    ADD COLUMN quarantine_reason varchar(20) NOT NULL DEFAULT '',  -- Why it was quarantined; stays when it is promoted.
    DROP CONSTRAINT attribute_metadata_status,
    -- Quarantined: stored and found like any other, but not indexed, not analysed and not in ordinary lists.
    ADD CONSTRAINT attribute_metadata_status CHECK (status IN ('active', 'deprecated', 'hidden', 'quarantined'));
-- Whether there is room for a new name: counted, where one comes.
CREATE INDEX attribute_metadata_admitted ON attribute_metadata (tenant_id, first_seen_at) WHERE status <> 'quarantined';

-- One row for each tenant that has a rule in force or an alias; writers of all others learn here that they have none.
CREATE TABLE attribute_governance (
    tenant_id integer PRIMARY KEY,
    version bigint NOT NULL                              -- Another one after every change: what writers remember is for one.
);

CREATE TABLE attribute_aliases (
    tenant_id integer NOT NULL,
    alias varchar(255) COLLATE "C" NOT NULL,             -- What writers still send.
    attribute_name varchar(255) COLLATE "C" NOT NULL,    -- What is stored.
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    CONSTRAINT attribute_aliases_other CHECK (alias <> attribute_name),
    PRIMARY KEY (tenant_id, alias)
);

CREATE TABLE attribute_rules (
    tenant_id integer NOT NULL,
    attribute_name varchar(255) COLLATE "C" NOT NULL,
    mode varchar(10) NOT NULL DEFAULT 'off',
    conditions jsonb NOT NULL,                           -- As `entities.governance.rules` writes them.
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL DEFAULT '',
    CONSTRAINT attribute_rules_mode CHECK (mode IN ('off', 'warn', 'enforce')),
    PRIMARY KEY (tenant_id, attribute_name)
);

-- What a worker does about one attribute, entity after entity: checks of a rule, renames, removals.
CREATE TABLE attribute_jobs (
    job_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    kind varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'queued',
    attribute_name varchar(255) COLLATE "C" NOT NULL DEFAULT '',
    target varchar(255) COLLATE "C" NOT NULL DEFAULT '', -- Of a rename: the new name.
    options jsonb NOT NULL DEFAULT '{}',
    entities_total bigint NOT NULL DEFAULT 0,            -- About how many there were when it was created.
    entities_done bigint NOT NULL DEFAULT 0,
    after_entity_id bigint NOT NULL DEFAULT 0,           -- It goes on with the next one.
    changed bigint NOT NULL DEFAULT 0,
    result jsonb NOT NULL DEFAULT '{}',
    detail text NOT NULL DEFAULT '',                     -- Why it failed.
    created_by text NOT NULL DEFAULT '',
    attempts smallint NOT NULL DEFAULT 0,                -- Starts since it last made progress.
    CONSTRAINT attribute_jobs_kind CHECK (kind IN ('rule_check', 'rename', 'drop', 'undo', 'similar')),
    CONSTRAINT attribute_jobs_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled'))
);
CREATE INDEX attribute_jobs_newest ON attribute_jobs (tenant_id, created_at DESC);

-- What a job changed, so that it can be undone.
CREATE TABLE attribute_job_changes (
    tenant_id integer NOT NULL,
    job_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    at timestamptz NOT NULL,                             -- The instant of the value that was moved or removed.
    old_value jsonb NOT NULL,
    replaced jsonb,                                      -- What the new name had before; NULL where nothing.
    PRIMARY KEY (tenant_id, job_id, entity_id)
);

ALTER TABLE import_jobs
    ADD COLUMN format varchar(20) NOT NULL DEFAULT 'ndjson',
    ADD COLUMN options jsonb NOT NULL DEFAULT '{}',      -- Dialect and mapping, as `entities.imports.mapping` writes them.
    ADD COLUMN is_dry_run boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT import_jobs_status,
    -- draft: the file is there and nobody has said go; checked: a dry run has ended, and the file is still there.
    ADD CONSTRAINT import_jobs_status
        CHECK (status IN ('draft', 'queued', 'running', 'checked', 'done', 'failed', 'cancelled')),
    ADD CONSTRAINT import_jobs_format CHECK (format IN ('ndjson', 'csv', 'parquet'));

-- The lines that an import left out, as they came, to look at and to download.
CREATE TABLE import_rejections (
    tenant_id integer NOT NULL,
    job_id uuid NOT NULL,
    line bigint NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]',
    raw text,                                            -- NULL where it was too long to keep.
    PRIMARY KEY (tenant_id, job_id, line)
);

-- How a file with these columns was last understood.
CREATE TABLE import_mappings (
    tenant_id integer NOT NULL,
    fingerprint varchar(64) COLLATE "C" NOT NULL,        -- SHA-256 of the format and the names of its columns.
    options jsonb NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, fingerprint)
);

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['attribute_governance', 'attribute_aliases', 'attribute_rules', 'attribute_jobs',
                                   'attribute_job_changes', 'import_rejections', 'import_mappings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT tenant_bound())) WITH CHECK (tenant_id = (SELECT tenant_bound()))', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO atlasco_app', guarded);
    END LOOP;
END
$$;
