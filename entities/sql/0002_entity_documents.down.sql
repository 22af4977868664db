DROP INDEX entities_document;
DROP VIEW entity_values;
DROP VIEW entity_documents;
REVOKE SELECT ON entities, entity_attributes FROM atlasco_search;
DROP POLICY search ON entity_attributes;
DROP POLICY search ON entities;
