-- A page in order of creation walks this, as one in order of the newest update walks entities_recent.
CREATE INDEX entities_created ON entities (tenant_id, created_at DESC, entity_id DESC);
