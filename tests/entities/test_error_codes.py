"""An error's code means one thing: programs decide by it."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator

import entities
from atlasco.lib.errors import Problem

# An entity in an archived month: 404 where it is read, 409 where it is written (README, Partitions).
SHARED = {"entity_archived"}
# Programs of their own, not parts of the product that raise problems.
LEFT_OUT = ("entities.bench", "entities.management", "entities.migrations")


def problems(kind: type[Problem]) -> Iterator[type[Problem]]:
    for found in kind.__subclasses__():
        yield found
        yield from problems(found)


def test_no_two_errors_of_the_data_plane_have_one_code() -> None:
    for module in pkgutil.walk_packages(entities.__path__, "entities."):
        if not module.name.startswith(LEFT_OUT):
            importlib.import_module(module.name)
    names: dict[str, set[str]] = defaultdict(set)
    for found in problems(Problem):
        if found.__module__.startswith("entities."):
            names[found.code].add(found.__name__)
            assert "code" in vars(found), found
            assert found.__doc__, found
    assert {code for code, raised in names.items() if len(raised) > 1} == SHARED
