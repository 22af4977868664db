-- The demo's statements. `analytics.demo.load` fills its tables, `analytics.demo.replay` reads them.

-- name: load_state
-- What a second run needs to know: how many flights there are, and the tenant of each airline that is loaded.
SELECT coalesce((SELECT flights FROM demo_replay), 0), carrier, tenant_id, loaded_at IS NOT NULL
FROM (SELECT) nothing LEFT JOIN demo_airlines ON true;

-- name: raw_create
-- The CSV file as it is.
CREATE TEMP TABLE demo_raw (
    year smallint, month smallint, day smallint, dep_time smallint, sched_dep_time smallint, dep_delay integer,
    arr_time smallint, sched_arr_time smallint, arr_delay integer, carrier text, flight integer, tailnum text,
    origin text, dest text, air_time integer, distance integer, hour smallint, minute smallint, time_hour timestamptz
) ON COMMIT DROP;

-- name: raw_copy
COPY demo_raw FROM STDIN (FORMAT csv, HEADER true, NULL 'NA');

-- name: flights_fill
-- time_hour is the hour of the scheduled departure. A cancelled flight happens when it should have departed.
INSERT INTO demo_flights (position, scheduled_at, departed_at, carrier, flight, tailnum, origin, destination, distance,
                          departure_delay_min, arrival_delay_min, air_time_min,
                          flown_flights, flown_min, year_flights, year_min)
SELECT row_number() OVER timeline, scheduled_at, departed_at, carrier, flight, tailnum, origin, dest, distance,
       dep_delay, arr_delay, air_time,
       count(departed_at) OVER flown, coalesce(sum(air_time) OVER flown, 0),
       count(departed_at) OVER year, coalesce(sum(air_time) OVER year, 0)
FROM (
    SELECT *, scheduled_at + dep_delay * interval '1 minute' AS departed_at
    FROM (SELECT *, time_hour + minute * interval '1 minute' AS scheduled_at FROM demo_raw) r
) f
WINDOW timeline AS (ORDER BY coalesce(departed_at, scheduled_at), carrier, flight, origin, scheduled_at),
       year AS (PARTITION BY carrier, tailnum),
       flown AS (PARTITION BY carrier, tailnum
                 ORDER BY coalesce(departed_at, scheduled_at), carrier, flight, origin, scheduled_at
                 ROWS UNBOUNDED PRECEDING);

-- name: replay_create
INSERT INTO demo_replay (flights) SELECT count(*) FROM demo_flights RETURNING flights;

-- name: rate_set
-- The time until now belongs to the rate before.
UPDATE demo_replay SET rate = %(rate)s, replayed_at = NULL;

-- name: airline_create
INSERT INTO demo_airlines (carrier, tenant_id) VALUES (%(carrier)s, %(tenant_id)s);

-- name: airline_loaded
UPDATE demo_airlines SET loaded_at = %(now)s WHERE carrier = %(carrier)s;

-- name: aircraft_of_carriers
SELECT carrier, array_agg(DISTINCT tailnum ORDER BY tailnum)
FROM demo_flights
WHERE carrier = ANY (%(carriers)s::text[]) AND tailnum IS NOT NULL
GROUP BY carrier;

-- name: routes_of_carriers
-- The distance of a route differs by a mile between flights; the later one stands.
SELECT carrier, origin, destination, (array_agg(distance ORDER BY position DESC))[1], count(*),
       count(*) FILTER (WHERE departed_at IS NULL), avg(departure_delay_min), avg(arrival_delay_min)
FROM demo_flights
WHERE carrier = ANY (%(carriers)s::text[])
GROUP BY carrier, origin, destination
ORDER BY carrier, origin, destination;

-- name: replay_lock
-- No row where the demo was never loaded; false where another worker is at it.
SELECT pg_try_advisory_lock(hashtext('atlasco.demo_replay')) FROM demo_replay;

-- name: replay_unlock
SELECT pg_advisory_unlock(hashtext('atlasco.demo_replay'));

-- name: replay_state
SELECT rate, position, years, replayed_at FROM demo_replay;

-- name: flights_take
-- The next flights, each as what it changes of its aircraft. null removes: a cancelled flight has no delay.
SELECT f.position, f.carrier, f.tailnum,
       (jsonb_build_object(
            'status', CASE
                WHEN f.departed_at IS NULL THEN 'cancelled'
                WHEN f.air_time_min IS NULL THEN 'diverted'
                WHEN greatest(f.departure_delay_min, f.arrival_delay_min) >= 15 THEN 'delayed'
                ELSE 'in service'
            END,
            'last_flight', f.carrier || ' ' || f.flight,
            'last_origin', f.origin,
            'last_destination', f.destination,
            'last_departure_delay_min', f.departure_delay_min,
            'last_arrival_delay_min', f.arrival_delay_min,
            'flights_flown', f.flown_flights + %(years)s * f.year_flights,
            'hours_flown', trim_scale(round((f.flown_min + %(years)s::bigint * f.year_min) / 60.0, 2))
        ) || CASE
            WHEN f.departed_at IS NULL THEN '{}'
            ELSE jsonb_build_object(
                'last_departure_at', to_char(t.local_at, 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(t.offset_h, 'SG00":00"'),
                'last_distance_mi', f.distance
            )
        END)::text
FROM demo_flights f
CROSS JOIN LATERAL (
    -- Every flight of the data departs from New York. Its offset is whole hours.
    SELECT f.departed_at AT TIME ZONE 'America/New_York' AS local_at,
           extract(hour FROM (f.departed_at AT TIME ZONE 'America/New_York') - (f.departed_at AT TIME ZONE 'UTC')) AS offset_h
) t
WHERE f.position > %(position)s AND f.position <= %(position)s + %(count)s
ORDER BY f.position;

-- name: replay_tenants
-- The airlines whose flights are replayed: a suspended one stands still.
SELECT a.carrier, a.tenant_id
FROM demo_airlines a
JOIN tenants_tenant t ON t.id = a.tenant_id
WHERE a.loaded_at IS NOT NULL AND t.status = 'active';

-- name: replay_advance
UPDATE demo_replay SET position = %(position)s, years = %(years)s, replayed_at = %(replayed_at)s;
