DROP TABLE bulk_edit_changes, bulk_edits, export_jobs;
