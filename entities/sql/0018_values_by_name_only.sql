-- Note [An index for one question]
-- `entity_attributes_by_name` is smaller than the primary key. Where the statistics of a shared leaf know nothing of a
-- tenant, each seems to find one row, and the smaller one was taken to look a value up by its entity and name: it then
-- read all values of that name, for each value of an import whose lines came late. So it has a condition, always true but
-- for removals, in words that only the view `entity_named` uses.
DROP INDEX entity_attributes_by_name;
CREATE INDEX entity_attributes_by_name ON entity_attributes (tenant_id, attribute_name)
    WHERE value_type IS DISTINCT FROM 'removed';

GRANT CREATE ON SCHEMA public TO atlasco_search;
SET ROLE atlasco_search;
CREATE OR REPLACE VIEW entity_named AS
SELECT tenant_id, entity_id, attribute_name, value_type, numeric_key, instant_value
FROM entity_attributes
WHERE tenant_id = (SELECT tenant_bound()) AND value_type IS DISTINCT FROM 'removed';
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM atlasco_search;
