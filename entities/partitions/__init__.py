"""Partitions: the tree as it is (`tree`), what is to be done about it (`plan`), a large tenant's way to a sub-tree of
its own (`promotion`), and cold months in files (`archive`). The DDL itself is in `sql/0008_partitions.sql`.
"""
