-- Where the next slice of a promotion begins, for one that goes on in another month than it was begun in.
CREATE OR REPLACE FUNCTION promotion_slice(p_tenant_id integer, p_rows integer, OUT begins bigint, OUT is_last boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    leaves text[] := ARRAY['entities_p' || tenant_bucket(p_tenant_id) || '_shared', 'entity_attributes_p' || tenant_bucket(p_tenant_id) || '_shared'];
    leaf text;
    newest bigint;
    found_id bigint;
BEGIN
    EXECUTE format('SELECT max(entity_id) FROM %I WHERE tenant_id = %s', leaves[1], p_tenant_id) INTO newest;
    -- A tenant that has nothing left: one empty slice ends its way. It lies before the sub-tree, which may have been
    -- attached in another month than this.
    newest := least(coalesce(newest, entity_id_at(clock_timestamp())),
                    promotion_upper('entities', p_tenant_id) - 1);
    begins := entity_id_at(date_trunc('month', entity_id_instant(newest), 'UTC'));
    FOREACH leaf IN ARRAY leaves LOOP
        EXECUTE format('SELECT entity_id FROM %I WHERE tenant_id = %s ORDER BY entity_id DESC OFFSET %s LIMIT 1', leaf, p_tenant_id, p_rows)
            INTO found_id;
        -- Whole entities: one that is larger than a slice is a slice.
        begins := least(newest, greatest(begins, found_id + 1));
    END LOOP;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I WHERE tenant_id = %s AND entity_id < %s)', leaves[1], p_tenant_id, begins)
        INTO is_last;
END
$$;
