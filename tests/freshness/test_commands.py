"""Commands read as fresh as --tier and --max-lag-seconds say."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from entities.ingest.importer import import_run
from tenants.binding import tenant_bind
from tenants.models import Tenant
from tests.cluster import Cluster
from tests.entities.test_governance import NOW
from tests.freshness.test_pages import fresh_replicas
from tests.freshness.test_registered_sources import heartbeat
from tests.tenants.conftest import tenant_make

__all__ = ["fresh_replicas", "tenant_make"]


@contextmanager
def paused(stack: Cluster) -> Iterator[None]:
    """Inside, replicas apply nothing."""
    for name in ("replica1", "replica2"):
        stack.ask("pause-replay", name=name)
    try:
        yield
    finally:
        for name in ("replica1", "replica2"):
            stack.ask("resume-replay", name=name)
        stack.wait_for_replicas()


def lamps_write(tenant: Tenant, *names: str) -> None:
    lines = [
        json.dumps({"entity_type": "lamp", "external_id": name, "attributes": {"n": 1}}).encode() for name in names
    ]
    with tenant_bind(tenant):
        import_run(tenant_id=tenant.pk, chunks=[b"\n".join(lines)], mode="merge", now=NOW, line_max_bytes=1 << 20)


def exported(tenant: Tenant, path: Path, *options: str) -> tuple[set[str], str]:
    """The entities in the file, and what the command says."""
    out = io.StringIO()
    call_command("export_tenant", tenant.slug, str(path), *options, stdout=out)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {record["data"]["external_id"] for record in records if record["record"] == "entities"}, out.getvalue()


def test_an_export_that_may_be_late_reads_a_replica_and_says_how_late_it_is(
    fresh_replicas: None, tenant_make: Callable[..., Tenant], stack: Cluster, tmp_path: Path
) -> None:
    stack.must_be_embedded()
    acme, globex = tenant_make("acme"), tenant_make("globex")
    lamps_write(acme, "seen")
    lamps_write(globex, "theirs")
    stack.wait_for_replicas()
    heartbeat()
    with paused(stack):
        lamps_write(acme, "not yet")
        late, words = exported(acme, tmp_path / "late.ndjson", "--tier", "EVENTUAL")
        assert late == {"seen"}
        assert "Read from replica" in words and "at most" in words
        for number, options in enumerate(([], ["--tier", "REALTIME"], ["--max-lag-seconds", "0"])):
            now, words = exported(acme, tmp_path / f"now{number}.ndjson", *options)
            assert now == {"seen", "not yet"}
            assert ("Read from primary" in words) == bool(options)


@pytest.mark.parametrize("options", [["--max-lag-seconds", "soon"], ["--max-lag-seconds", "-1"]])
def test_a_freshness_that_can_not_be_understood_is_told_before_anything_is_done(
    options: list[str], live_db: None, tenant_make: Callable[..., Tenant], tmp_path: Path
) -> None:
    path: Any = tmp_path / "acme.ndjson"
    with pytest.raises(CommandError, match="a number of seconds"):
        call_command("export_tenant", tenant_make("acme").slug, str(path), f"{options[0]}={options[1]}")
    assert not path.exists()
