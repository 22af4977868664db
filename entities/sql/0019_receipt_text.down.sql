ALTER TABLE import_receipts ALTER COLUMN answer TYPE jsonb USING answer::jsonb;
