DROP TABLE import_mappings, import_rejections;
-- What never began, and what only tried, is nothing that the older product knows.
DELETE FROM import_jobs WHERE status IN ('draft', 'checked') OR is_dry_run OR format <> 'ndjson';
ALTER TABLE import_jobs
    DROP CONSTRAINT import_jobs_format,
    DROP CONSTRAINT import_jobs_status,
    DROP COLUMN is_dry_run,
    DROP COLUMN options,
    DROP COLUMN format,
    ADD CONSTRAINT import_jobs_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled'));
DROP TABLE attribute_job_changes, attribute_jobs, attribute_rules, attribute_aliases, attribute_governance;
DROP INDEX attribute_metadata_admitted;
UPDATE attribute_metadata SET status = 'active' WHERE status = 'quarantined';
ALTER TABLE attribute_metadata
    DROP CONSTRAINT attribute_metadata_status,
    DROP COLUMN quarantine_reason,
    DROP COLUMN owner,
    ADD CONSTRAINT attribute_metadata_status CHECK (status IN ('active', 'deprecated', 'hidden'));
DROP FUNCTION attribute_name_suspect(text);
