CREATE OR REPLACE FUNCTION text_instant(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,100})?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$' THEN
        RETURN NULL;
    END IF;
    value := replace(value, ',', '.');
    IF NOT pg_input_is_valid(value, 'timestamptz') THEN  -- 30 February, year 0.
        RETURN NULL;
    END IF;
    RETURN value::timestamptz;
END
$$;
