-- The heartbeat: one row, written on the primary several times a second, that travels every path like any other row.
-- What a store holds of it says up to where the store has applied the primary's log, and when that was.
CREATE TABLE heartbeat (
    heartbeat_id smallint PRIMARY KEY DEFAULT 1,
    seq bigint NOT NULL,
    ts timestamptz NOT NULL,             -- The primary's clock, before the row was written.
    lsn pg_lsn NOT NULL,                 -- The end of its log at that instant: everything before it was committed or will not be seen as such.
    CONSTRAINT heartbeat_one_row CHECK (heartbeat_id = 1)
) WITH (fillfactor = 10);                -- Updated in place (HOT), many times a second.
INSERT INTO heartbeat (seq, ts, lsn) VALUES (0, clock_timestamp(), pg_current_wal_lsn());

GRANT SELECT, UPDATE ON heartbeat TO atlasco_app;
ALTER PUBLICATION atlasco ADD TABLE heartbeat;
