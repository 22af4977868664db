"""The settings of the tests: Atlasco's own, over a stack of this session's.

Addresses must stand in the environment before the settings are read; servers start when a test first wants them.
"""

import os

# A page shows at once what a test has just written beside it; tests of freshness ask for replicas themselves.
os.environ.setdefault("ATLASCO_PAGE_CLASS", "critical")

from tests.cluster import CLUSTER

CLUSTER.choose_addresses()

from atlasco.settings import *  # noqa: E402, F403  # After the addresses; every name, as Django wants it.
