-- The instant that a text stands for, or NULL: only a full ISO 8601 date-time with zone is a timestamp.
-- `entities.values.text_is_timestamp` is the same rule in Python; a test holds them together.
-- IMMUTABLE is true: with a zone in the text, the session's TimeZone has no say.
-- Nearly all are whole seconds of UTC. Those pass without the pattern, which takes two thirds of the time.
CREATE OR REPLACE FUNCTION text_instant(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF value LIKE '____-__-__T__:__:__Z' AND translate(value, '0123456789', '') = '--T::Z'
       AND substr(value, 12, 2) < '24' AND substr(value, 15, 2) < '60' AND substr(value, 18, 2) < '60' THEN
        IF NOT pg_input_is_valid(value, 'timestamptz') THEN  -- 30 February, year 0.
            RETURN NULL;
        END IF;
        RETURN value::timestamptz;
    END IF;
    IF value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,100})?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$' THEN
        RETURN NULL;
    END IF;
    value := replace(value, ',', '.');
    IF NOT pg_input_is_valid(value, 'timestamptz') THEN
        RETURN NULL;
    END IF;
    RETURN value::timestamptz;
END
$$;
