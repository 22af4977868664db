-- What is to be told outside, and what became of it. A row is one notice to one address.
CREATE TABLE notice_deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id integer,                                   -- NULL: the platform's own.
    kind text NOT NULL CHECK (kind IN ('webhook', 'email')),
    address text COLLATE "C" NOT NULL,
    nonce text NOT NULL DEFAULT '',                      -- What a webhook's secret is derived from; the secret is kept nowhere.
    notice_key text COLLATE "C" NOT NULL,                -- The same notice, queued again, is not sent again.
    event text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    facts jsonb NOT NULL,
    happened_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz,                                  -- NULL: delivered or given up.
    delivered_at timestamptz,
    failed_at timestamptz,
    error text NOT NULL DEFAULT '',
    CONSTRAINT notice_deliveries_once UNIQUE NULLS NOT DISTINCT (tenant_id, kind, address, notice_key)
);
CREATE INDEX notice_deliveries_due ON notice_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_deliveries_queued ON notice_deliveries (queued_at);

ALTER TABLE notice_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE notice_deliveries FORCE ROW LEVEL SECURITY;
-- Where no tenant is bound, the platform's own rows are there and no others.
CREATE POLICY tenant ON notice_deliveries TO atlasco_app
    USING (tenant_id IS NOT DISTINCT FROM (SELECT nullif(current_setting('atlasco.tenant_id', true), '')::integer))
    WITH CHECK (tenant_id IS NOT DISTINCT FROM (SELECT nullif(current_setting('atlasco.tenant_id', true), '')::integer));
GRANT SELECT, INSERT, UPDATE, DELETE ON notice_deliveries TO atlasco_app;

-- Whose deliveries are due, so that the worker need not ask each of a thousand tenants. Ids only, nothing of the rows.
CREATE POLICY due ON notice_deliveries FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION notice_tenants_due(p_now timestamptz) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT DISTINCT tenant_id FROM public.notice_deliveries WHERE due_at <= p_now $$;
REVOKE EXECUTE ON FUNCTION notice_tenants_due(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notice_tenants_due(timestamptz) TO atlasco_app;
