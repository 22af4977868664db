"""Rollups in ClickHouse: distributions, value counts, trends and entity counts, computed before anybody asks.

# Note [How a rollup stays right]
The feed delivers at least once, so nothing is ever added to what was counted before. What changed is computed anew from
the data, a whole part, and its row replaces the one before; a figure of all is put together from its parts as they are
now. So a refresh may run twice, beside another one, or die in the middle: the same parts come again.
- *A part* is a stretch of entity ids (about 16,000 entities, which lie together in ClickHouse's order) for what holds
  now, an hour for what was. One change costs its part, and putting the parts together; not a pass over every value.
- *Exact all the same*: a part keeps its numbers, sorted, so that medians and quantiles are those of PostgreSQL's
  PERCENTILE_CONT. Only `distinct` is an estimate where values are many (HyperLogLog, 2^14 cells: about 1 % off).
- *Where something changed* is noted by ClickHouse itself, with each insert of the feed (`rollup_marks`).
- *Which row is the newer* says its generation: the instant at which its data began to be read.
- *Swapped at once*: the rows of a slice of attributes come with one insert, which makes one part of the table, together
  with rows that hide the groups that are gone.
- *Where stretches begin* is written with the tenant's state, at the end. A refresh that dies after it cut one leaves
  the old cut in force; the next one makes anew what is marked, and every part that is younger than the state.
- *How old*: the feed's position is read before the marks, and written with the tenant's state after the last insert.
  What was committed before that heartbeat is in the rollups; a tenant where nothing changed moves on with each round.
"""
