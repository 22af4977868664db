"""The change feed: every committed change of the data plane, in order, to every store that repeats it.

`run` reads the slot (`stream`, `slots`), decodes (`pgoutput`), makes events (`assemble`, `events`) and hands them to
the stores (`applying`). What a store does with them is its own: `analytics.cache`, `analytics.clickhouse`.
"""
