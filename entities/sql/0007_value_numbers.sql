-- The index of numbers holds rows whose numeric_value is not null, and a query must be able to say so to use it.
GRANT CREATE ON SCHEMA public TO atlasco_search;
SET ROLE atlasco_search;
CREATE OR REPLACE VIEW entity_values AS
SELECT tenant_id, entity_id, attribute_name, value_type, attribute_value, numeric_key, instant_value, numeric_value
FROM entity_attributes
WHERE tenant_id = (SELECT tenant_bound()) AND indexed;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM atlasco_search;
