"""Rollups in ClickHouse: distributions, value counts, trends and entity counts, computed before anybody asks.

# Note [How a rollup stays right]
The feed delivers at least once, so nothing is ever added to what was counted before: what changed is computed anew from
the data, a whole bucket, and its row replaces the one before. So a refresh may run twice, beside
another one, or die in the middle: the same buckets come again.
- *Where something changed* is noted by ClickHouse itself, with each insert of the feed (`rollup_marks`).
- *Which row is the newer* says its generation: the instant at which its data began to be read.
- *Swapped at once*: the rows of a slice of attributes come with one insert, which makes one part, together with rows
  that hide the groups that are gone.
- *How old*: the feed's position is read before the marks, and written with the tenant's state after the last insert.
  What was committed before that heartbeat is in the rollups; a tenant where nothing changed moves on with each round.
"""
