"""A replica is promoted: the feed makes its slot there, and no store keeps what the promotion has undone."""

from __future__ import annotations

from typing import Any

import requests

from atlasco.honesty.stage import Stage, stage_open
from tests.analytics.feeding import wait_until


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


def test_after_a_promotion_every_store_follows_the_new_primary() -> None:
    with stage_open() as stage:
        kept = write(stage, "kept", 1)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 1})
        # replica1 receives no more, so that what follows is in ClickHouse and not in the primary to be.
        stage.admin("replica1", "ALTER SYSTEM SET primary_conninfo = ''")
        stage.admin("replica1", "SELECT pg_reload_conf()")
        wait_until(lambda: stage.admin("replica1", "SELECT FROM pg_stat_wal_receiver") == [])
        write(stage, "kept", 2)
        write(stage, "lost", 3)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 2, "lost": 3})

        stage.ask("promote", "replica1")
        wait_until(lambda: in_clickhouse(stage) == {"kept": 1})
        write(stage, "new", 4)
        write(stage, "kept", 5)
        wait_until(lambda: in_clickhouse(stage) == {"kept": 5, "new": 4})
        history = ask(stage, "GET", f"entities/{kept}/history/").json()["changes"]
        assert [change["value"] for change in history if change["name"] == "n"] == [5, 1]
        assert requests.get(f"{stage.web_url}/readyz", timeout=30).json()["degraded"] == []
