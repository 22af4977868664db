DROP FUNCTION audit_log_erase(integer);
DROP TABLE audit_log;
