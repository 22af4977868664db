-- Whoever reads a snapshot may ask whether it is whole: the change feed's role, too, which has no right of its own to look.
ALTER FUNCTION snapshot_is_whole() SECURITY DEFINER;
