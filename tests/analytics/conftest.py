"""Two tenants on the real servers, as in tests/tenants."""

from __future__ import annotations

import pytest

from tests.tenants.conftest import acme, globex, tenant_make

__all__ = ["acme", "globex", "tenant_make"]


@pytest.fixture(autouse=True)
def _database_for_every_test(live_db: None) -> None:
    """Modules that need no server override this."""
