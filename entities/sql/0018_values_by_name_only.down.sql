GRANT CREATE ON SCHEMA public TO atlasco_search;
SET ROLE atlasco_search;
CREATE OR REPLACE VIEW entity_named AS
SELECT tenant_id, entity_id, attribute_name, value_type, numeric_key, instant_value
FROM entity_attributes
WHERE tenant_id = (SELECT tenant_bound()) AND value_type <> 'removed';
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM atlasco_search;
DROP INDEX entity_attributes_by_name;
CREATE INDEX entity_attributes_by_name ON entity_attributes (tenant_id, attribute_name);
