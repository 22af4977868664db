-- As with traffic: the platform keeps the jobs of all, a session that is bound to a tenant sees that tenant's own.
ALTER TABLE tenants_tenantjob ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants_tenantjob FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants_tenantjob TO atlasco_app
    USING (coalesce((SELECT nullif(current_setting('atlasco.tenant_id', true), '')::integer), tenant_id) = tenant_id);
