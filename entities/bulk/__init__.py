"""The same change to many entities, by a worker, and its taking back.

    edits.py     asked for, looked after, cancelled, taken back, forgotten
    preview.py   what an edit would do, before anybody asks for it
    run.py       what a worker does with one

# Note [Bulk edit]
An edit goes through its entities in order of entity_id, in small batches. A batch is one transaction: the values by the
one write path, what each entity had before, and how far the edit has come; so a batch is done once, whatever happens to
its worker, and a cancelled edit stops between two. Taking an edit back gives an attribute its former value only where
it still has the one that the edit gave it; where it has not, that is a conflict, and is listed.
"""
