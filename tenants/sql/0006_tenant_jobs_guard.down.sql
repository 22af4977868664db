DROP POLICY tenant ON tenants_tenantjob;
ALTER TABLE tenants_tenantjob NO FORCE ROW LEVEL SECURITY;
ALTER TABLE tenants_tenantjob DISABLE ROW LEVEL SECURITY;
