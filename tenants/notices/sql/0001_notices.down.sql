DROP FUNCTION notice_tenants_due(timestamptz);
DROP TABLE notice_deliveries;
