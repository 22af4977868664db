-- The instant that a text stands for, or NULL: only a full ISO 8601 date-time with zone is a timestamp.
-- `entities.values.text_is_timestamp` is the same rule in Python; a test holds them together.
-- IMMUTABLE is true: with a zone in the text, the session's TimeZone has no say.
-- What programs write passes by its shape, the text with every digit made 0: an automaton is built anew for each match of
-- the pattern, and that took a tenth of an import whose timestamps have fractions.
CREATE OR REPLACE FUNCTION text_instant(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    shape text := translate(value, '123456789', '000000000');
    zone text := substr(shape, 20);
BEGIN
    IF zone LIKE '.0%' AND length(zone) <= 16 THEN
        zone := ltrim(substr(zone, 2), '0');
    END IF;
    IF left(shape, 19) = '0000-00-00T00:00:00' AND zone IN ('Z', '+00:00', '-00:00') THEN
        IF substr(value, 12, 2) >= '24' OR substr(value, 15, 2) >= '60' OR substr(value, 18, 2) >= '60'
           OR zone <> 'Z' AND (right(value, 5) >= '16' OR right(value, 2) >= '60') THEN
            RETURN NULL;
        END IF;
    ELSIF value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,100})?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$' THEN
        value := replace(value, ',', '.');
    ELSE
        RETURN NULL;
    END IF;
    IF NOT pg_input_is_valid(value, 'timestamptz') THEN  -- 30 February, year 0.
        RETURN NULL;
    END IF;
    RETURN value::timestamptz;
END
$$;
