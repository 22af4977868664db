GRANT CREATE ON SCHEMA public TO atlasco_search;
SET ROLE atlasco_search;
DROP VIEW entity_values;
CREATE VIEW entity_values AS
SELECT tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_key, instant_value
FROM entity_attributes
WHERE tenant_id = (SELECT tenant_bound()) AND indexed;
GRANT SELECT ON entity_values TO atlasco_app;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM atlasco_search;
