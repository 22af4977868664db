"""A replica is promoted: the feed makes its slot there, and no store keeps what the promotion has undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import requests

from analytics.clickhouse.changes import position_read, position_write
from analytics.clickhouse.client import clickhouse_client
from atlasco.honesty.stage import Stage, stage_open
from atlasco.stack.control import control_ask
from tests.waiting import wait_until


def ask(stage: Stage, method: str, path: str, body: Any = None, tier: str = "EVENTUAL") -> requests.Response:
    headers = {"Authorization": f"Bearer {stage.tokens[0]}", "X-Freshness-Tier": tier}
    return requests.request(method, f"{stage.web_url}/api/v1/{path}", json=body, headers=headers, timeout=30)


def write(stage: Stage, external_id: str, n: int) -> str:
    body = {"entity_type": "thing", "external_id": external_id, "attributes": {"n": n}}
    answers: list[requests.Response] = []

    def written() -> bool:
        answers.append(ask(stage, "POST", "entities/?upsert=true", body, "REALTIME"))
        return answers[-1].status_code in {200, 201}

    wait_until(written)
    return str(answers[-1].json()["entity_id"])


def in_clickhouse(stage: Stage) -> dict[str, int]:
    """What ClickHouse finds; nothing where another store answered."""
    answer = ask(stage, "POST", "entities/search/", {})
    if answer.status_code != 200 or answer.headers["X-Data-Source"] != "clickhouse":
        return {}
    return {entity["external_id"]: entity["attributes"]["n"] for entity in answer.json()["entities"]}


def changes(stage: Stage, entity_id: str) -> list[int]:
    """What `n` was, newest first."""
    answer = ask(stage, "GET", f"entities/{entity_id}/history/").json()
    return [change["value"] for change in answer["changes"] if change["name"] == "n"]


def service(stage: Stage, name: str, fact: str) -> str:
    found = control_ask(stage.run_dir, "status")["services"]
    return str(next(one[fact] for one in found if one["name"] == name))


@contextmanager
def straddling(stage: Stage) -> Iterator[None]:
    """A change of every `n` to 9 that replica1 receives; the end of its transaction, after the block, it need not."""
    with psycopg.connect(service(stage, "primary", "admin_dsn")) as connection:
        connection.execute(
            "UPDATE entity_attributes SET attribute_value = '9', numeric_value = 9, updated_at = clock_timestamp()"
            " WHERE attribute_name = 'n'"
        )
        [lsn] = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone() or [""]
        wait_until(lambda: stage.admin("replica1", f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == [(True,)])
        yield


def test_after_a_promotion_every_store_follows_the_new_primary() -> None:
    with stage_open() as stage:
        kept = write(stage, "kept", 1)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 1})
        with straddling(stage):
            # replica1 receives no more, so that what follows is in ClickHouse and not in the primary to be.
            stage.admin("replica1", "ALTER SYSTEM SET primary_conninfo = ''")
            stage.admin("replica1", "SELECT pg_reload_conf()")
            wait_until(lambda: stage.admin("replica1", "SELECT FROM pg_stat_wal_receiver") == [])
        wait_until(lambda: changes(stage, kept) == [9, 1])
        write(stage, "kept", 2)
        write(stage, "lost", 3)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 2, "lost": 3})

        stage.ask("promote", "replica1")
        wait_until(lambda: in_clickhouse(stage) == {"kept": 1})
        write(stage, "new", 4)
        write(stage, "kept", 5)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 5, "new": 4})
        assert changes(stage, kept) == [5, 1]
        wait_until(lambda: requests.get(f"{stage.web_url}/readyz", timeout=30).json()["degraded"] == [])

        # An earlier version has come as far, and recorded no timeline: nothing of this one may count as lost.
        write(stage, "kept", 6)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 6, "new": 4})
        stage.ask("kill", "feed")
        client = clickhouse_client(service(stage, "clickhouse", "dsn"))
        recorded = position_read(client)
        assert recorded is not None
        position_write(client, replace(recorded, cluster=recorded.cluster.partition("/")[0]))
        stage.ask("start", "feed")
        wait_until(lambda: (found := position_read(client)) and found.cluster == recorded.cluster and found.heartbeat)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 6, "new": 4})
        assert changes(stage, kept) == [6, 5, 1]
        client.close()
