DROP TABLE attribute_index_jobs, search_samples, attribute_usage, tenant_statistics;
ALTER TABLE attribute_metadata DROP is_indexing, DROP value_bytes;
