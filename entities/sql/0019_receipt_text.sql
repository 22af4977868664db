-- The first answer is given again byte for byte: jsonb puts members in an order of its own.
ALTER TABLE import_receipts ALTER COLUMN answer TYPE text;
