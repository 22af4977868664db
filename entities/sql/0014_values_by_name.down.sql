DROP VIEW entity_named;
DROP INDEX entity_attributes_by_name;
