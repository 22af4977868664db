"""A search's result as a file, written by a worker and fetched within some days.

    jobs.py      asked for, looked after, cancelled, forgotten
    run.py       what a worker does with one
    formats.py   rows as NDJSON, CSV or Parquet, never whole in memory

# Note [Order of an export]
A result is read in order of entity_id, whatever order its table has: an entity's id never changes, so none is missed
and none comes twice, however long it takes and whatever is written meanwhile. Each entity is as it was when it was
read.
"""
