-- Removes a tenant's own sub-tree with all rows in it; nothing where it has none. Returns whether it had one.
-- The tenant must be on its way out: a live tenant's data can't be dropped through this door.
CREATE OR REPLACE FUNCTION tenant_partitions_drop(p_tenant_id integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = public, pg_temp
AS $$
DECLARE
    parent text;
    root text;
    found_one boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenant WHERE id = p_tenant_id AND status = 'deleting') THEN
        RAISE insufficient_privilege USING MESSAGE = format('tenant %s is not being deleted', p_tenant_id);
    END IF;
    FOREACH parent IN ARRAY ARRAY['entities', 'entity_attributes'] LOOP
        root := parent || '_tenant_' || p_tenant_id;
        IF to_regclass(root) IS NOT NULL THEN
            EXECUTE format('DROP TABLE %I', root);
            found_one := true;
        END IF;
    END LOOP;
    RETURN found_one;
END
$$;

DROP FUNCTION archive_attach(text);
DROP FUNCTION archive_detach(text, bigint, bigint);
DROP FUNCTION archive_leaf(text, text);
DROP FUNCTION partition_orphan_drop(text);
DROP FUNCTION partition_orphans();
DROP FUNCTION partition_tenants();
DROP FUNCTION partition_tree();
DROP FUNCTION partitions_ahead(integer, integer);
DROP FUNCTION promotion_analyze(integer);
DROP FUNCTION promotion_finish(integer);
DROP FUNCTION promotion_slice_attach(text, integer);
DROP FUNCTION promotion_upper(text, integer);
DROP FUNCTION promotion_move(integer, bigint, boolean, integer);
DROP FUNCTION promotion_slice(integer, integer);
DROP FUNCTION promotion_attach(integer, bigint);
DROP FUNCTION promotion_open(integer, bigint, integer);
DROP FUNCTION promotion_disarm(integer);
DROP FUNCTION promotion_arm(integer, bigint);
DROP FUNCTION tenant_partitions_hold(integer);
DROP FUNCTION partition_lock(text[], double precision);
DROP FUNCTION tenant_leaf_create(text, text, bigint, bigint, text);
DROP FUNCTION tenant_partitions_check(integer);
DROP FUNCTION tenant_bucket(integer);
DROP FUNCTION entity_id_instant(bigint);
DROP FUNCTION snapshot_is_whole();
DROP TABLE partition_archives;
DROP TABLE partition_promotions;
DROP SEQUENCE partition_moves;
