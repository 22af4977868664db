-- The demo: a year of flights to replay, how far the replay has come, and which tenants are its airlines.
-- Platform tables in `public`, without any tenant's data; empty where the demo was never loaded.

-- The year in order of departure, prepared once, so that a tick reads a slice of a few rows.
CREATE TABLE demo_flights (
    scheduled_at timestamptz NOT NULL,
    departed_at timestamptz,                             -- NULL: cancelled.
    position integer PRIMARY KEY,                        -- From 1, without gaps.
    flight integer NOT NULL,
    distance integer NOT NULL,                           -- Miles.
    departure_delay_min integer,
    arrival_delay_min integer,                           -- NULL also where it was diverted.
    air_time_min integer,
    -- What this aircraft has flown for this airline since the year began, this flight included, and in the whole year:
    -- so each flight can be replayed by itself, and again.
    flown_flights integer NOT NULL,
    flown_min integer NOT NULL,
    year_flights integer NOT NULL,
    year_min integer NOT NULL,
    carrier varchar(2) COLLATE "C" NOT NULL,
    origin varchar(3) COLLATE "C" NOT NULL,
    destination varchar(3) COLLATE "C" NOT NULL,
    tailnum varchar(6) COLLATE "C"                       -- NULL: cancelled before an aircraft was assigned.
);

-- Which tenant is which airline. A tenant that is deleted stops being one; the next load creates it again.
CREATE TABLE demo_airlines (
    carrier varchar(2) COLLATE "C" PRIMARY KEY,
    tenant_id integer NOT NULL UNIQUE REFERENCES tenants_tenant ON DELETE CASCADE,
    loaded_at timestamptz                                -- NULL: its entities are not all there yet.
);

-- One row, from the moment at which demo_flights is filled.
CREATE TABLE demo_replay (
    replayed_at timestamptz,                             -- Up to when flights have been replayed; NULL: not begun.
    rate double precision,                               -- Flights per second; NULL: ATLASCO_DEMO_RATE.
    flights integer NOT NULL,                            -- How many the year has.
    position integer NOT NULL DEFAULT 0,                 -- The last one replayed.
    years integer NOT NULL DEFAULT 0,                    -- How often the year has been replayed whole.
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON demo_flights, demo_airlines, demo_replay TO atlasco_app;
