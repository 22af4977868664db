-- The timelines of the primary's log: a promotion begins a new one, and what the old one had beyond that point is lost.
-- `heartbeat.seq` carries the timeline above its lowest 40 bits, so that every store knows which one it has applied.
CREATE TABLE timelines (
    timeline integer PRIMARY KEY,
    began_lsn pg_lsn NOT NULL,           -- Positions of earlier timelines up to here are part of this one.
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT ON timelines TO atlasco_app;
