DROP INDEX entities_created;
