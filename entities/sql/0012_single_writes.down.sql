DROP FUNCTION entity_write(integer, bigint, text, text, jsonb, timestamptz, timestamptz, timestamptz, bigint[], boolean, boolean, boolean, bigint, bigint);
DROP FUNCTION attribute_names_add(integer, text[], text[], timestamptz, bigint, bigint);
