-- A file that kills its worker must not kill every worker after it.
ALTER TABLE import_jobs
    ADD COLUMN attempts smallint NOT NULL DEFAULT 0;     -- Starts since it last made progress.
