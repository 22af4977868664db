"""Reading from the store that meets the budget, and proving what was delivered.

Every read of data passes `read_through`. It settles the budget, judges the candidates, and runs the reader on the best;
position and lag are read in the same snapshot as the data, so that the claim belongs to the answer. A store that fails
on the way is left out for a moment, and the next one answers. The caller brings the reader of databases; whoever owns
another store registers a reader of its own for the operation, see `freshness.sources`.

# Note [Two positions]
What an answer shows is at least all up to one position and at most all up to another: a snapshot is taken between two
looks at the log. "At least" is what a token asks of a store, and what X-Data-Position says. "At most" goes into a
cursor: the next page must come from a store that has at least all that this page may have shown.

    through   the loop over the stores
    facts     what a database says of itself in the snapshot in which it is read
    attempt   one read on one store, and what can be claimed of its answer
    orm       pages and the ORM: one database for many reads
    writes    how far the log is after a write
    stores    every store as it is known now
    problems  what is refused, and whose fault an error is
"""

from freshness.reads.attempt import ReadSource
from freshness.reads.orm import database_settle, page_source, primary_source, scope_database
from freshness.reads.problems import (
    NoStoreAnswers,
    PositionNotReached,
    PrimaryUnavailable,
    QueryTimeout,
    StaleBeyondBudget,
    WriteLost,
    is_store_failure,
    store_problem,
)
from freshness.reads.stores import alias_of, candidates_now, databases_now, primary_is_up, stores_now
from freshness.reads.through import position_needed, read_through
from freshness.reads.writes import primary_position, write_finished

__all__ = [
    "NoStoreAnswers",
    "PositionNotReached",
    "PrimaryUnavailable",
    "QueryTimeout",
    "ReadSource",
    "StaleBeyondBudget",
    "WriteLost",
    "alias_of",
    "candidates_now",
    "database_settle",
    "databases_now",
    "is_store_failure",
    "page_source",
    "position_needed",
    "primary_is_up",
    "primary_position",
    "primary_source",
    "read_through",
    "scope_database",
    "store_problem",
    "stores_now",
    "write_finished",
]
