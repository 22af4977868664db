-- name: platform_load
-- Value rows written since the statistics began, and how far the change feed's slot is behind. On a primary without
-- the slot the second is NULL.
SELECT
    (SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint FROM pg_stat_user_tables
     WHERE schemaname = 'public' AND relname LIKE 'entity\_attributes\_%'),
    (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint FROM pg_replication_slots
     WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name LIMIT 1),
    (SELECT active FROM pg_replication_slots
     WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name LIMIT 1)
