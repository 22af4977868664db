"""What people decide about attribute names, and what the write path makes of it.

    pattern.py   regular expressions in linear time
    rules.py     what the values of an attribute must be like: pure
    gate.py      a tenant's rules and aliases, as writers ask them: one look-up a batch, none without any
    store.py     rules and aliases, kept
    similar.py   names that are probably one: pure
    jobs.py      checks, renames, removals and undoing them: created, asked after, cancelled, taken up again
    work.py      what a worker does with one

# Note [Quarantine]
A name that is seen for the first time is judged where the registry gets it (`registry_write` in sql/ingest.sql): one
that looks like an id, and one beyond the tenant's quota or its hourly flood limit, becomes `quarantined`. Its values
are stored, returned and found like any other: nothing is lost. It is not indexed, not analysed and not in ordinary
lists, until somebody promotes it, makes it an alias or drops it. Known names cost nothing, new ones one count of the
tenant's names a batch. Writers side by side may exceed the quota by what each of them brings in one batch.
"""
