-- Who did what, when, from where. The application adds rows and reads them; it can neither change nor remove one.
-- The tenant of a row is the bound one, whatever the application says; 0 is the platform's own log.
CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id integer NOT NULL DEFAULT coalesce(nullif(current_setting('atlasco.tenant_id', true), '')::integer, 0),
    actor_kind varchar(20) NOT NULL,
    actor varchar(200) COLLATE "C" NOT NULL,
    action varchar(60) COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb,
    via varchar(10) NOT NULL,
    ip inet,
    request_id varchar(64) NOT NULL DEFAULT '',
    CONSTRAINT audit_log_subject_length CHECK (length(subject) <= 1000)
);
CREATE INDEX audit_log_newest ON audit_log (tenant_id, at DESC, audit_id DESC);
-- What happened to one thing, what one person did, and which actions there are.
CREATE INDEX audit_log_by_subject ON audit_log (tenant_id, subject, at DESC);
CREATE INDEX audit_log_by_action ON audit_log (tenant_id, action, at DESC);
CREATE INDEX audit_log_by_actor ON audit_log (tenant_id, actor, at DESC);

-- Enabled, not forced: the owner prunes what is too old (`manage.py audit_prune`).
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log TO atlasco_app
    USING (tenant_id = (SELECT coalesce(nullif(current_setting('atlasco.tenant_id', true), '')::integer, 0)));
-- The columns that say when and whose are filled in by the database alone.
GRANT SELECT ON audit_log TO atlasco_app;
GRANT INSERT (actor_kind, actor, action, subject, before, after, via, ip, request_id) ON audit_log TO atlasco_app;

-- A tenant that is deleted takes its log with it: names, addresses and values are its data, too. What the platform did
-- with the tenant stays in the platform's log.
CREATE FUNCTION audit_log_erase(p_tenant_id integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    erased bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status = 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('tenant %s is not being deleted', p_tenant_id);
    END IF;
    DELETE FROM audit_log WHERE tenant_id = p_tenant_id;
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;
REVOKE EXECUTE ON FUNCTION audit_log_erase(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_log_erase(integer) TO atlasco_app;
