"""Answers from ClickHouse: searches, entities, aggregates and history, from the same parsed queries as PostgreSQL's.

`conditions` compiles a `where`, `search` and `aggregate` make statements of it and answers of their rows. All are plain
functions of a client, a tenant and a checked query; `sources` registers them with `freshness`.

# Note [A condition is a set of ids]
Values are kept by attribute, so a condition reads one attribute's rows, side by side on the disk, and gives the ids of
the entities that hold; a tree of conditions is an expression over `entity_id IN (…)`. `manage.py bench layout` compares
this with documents as maps in buckets, and FINAL with argMax over the versions.
"""
