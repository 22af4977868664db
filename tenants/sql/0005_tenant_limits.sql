-- What may be asked of the platform: how often each tenant calls the API, in slots of five minutes.
-- Added to by every web process every few seconds; kept for 90 days by a periodic task.
CREATE TABLE tenant_traffic (
    tenant_id integer NOT NULL,
    slot timestamptz NOT NULL,
    requests bigint NOT NULL,
    writes bigint NOT NULL,
    throttled bigint NOT NULL,                           -- Answered 429.
    failed bigint NOT NULL,                              -- Answered 5xx.
    PRIMARY KEY (tenant_id, slot)
);
CREATE INDEX tenant_traffic_slot ON tenant_traffic (slot);

-- The platform counts for all; a bound tenant sees its own figures and nothing else.
ALTER TABLE tenant_traffic ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_traffic TO atlasco_app
    USING (coalesce((SELECT nullif(current_setting('atlasco.tenant_id', true), '')::integer), tenant_id) = tenant_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_traffic TO atlasco_app;
