"""What a rule would have done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from analytics.alerts.evaluate import Sample, firings_count
from analytics.alerts.services.checking import RuleInput
from analytics.clickhouse.client import is_unknown_table, reading_client
from atlasco.lib.clock import to_us
from atlasco.lib.errors import Unavailable
from atlasco.lib.sql import sql_blocks

SQL: Final = sql_blocks(Path(__file__).parent.parent / "sql" / "queries.sql")
PREVIEW: Final = timedelta(days=7)
_PREVIEW_SAMPLES: Final = 200_000


class PreviewUnavailable(Unavailable):
    """ClickHouse does not answer, so nothing can be said about the past. The rule can be kept all the same."""

    code = "preview_unavailable"


@dataclass(frozen=True, slots=True)
class Preview:
    """How often a rule would have fired. is_whole: False where there were more samples than a preview reads.

    samples, entities: what was tested, as far back as the rule looks from the first of the seven days.
    """

    firings: int
    samples: int
    entities: int
    is_whole: bool


def rule_preview(*, tenant_id: int, rule: RuleInput, now: datetime) -> Preview:
    """How often the rule would have fired in the last seven days. Raises PreviewUnavailable."""
    since = now - PREVIEW
    parameters = {
        "tenant": tenant_id,
        "attribute": rule.attribute,
        "entity_type": rule.entity_type,
        "external_id": rule.external_id,
        "from_us": to_us(since - timedelta(seconds=rule.condition.for_seconds)),
        "limit": _PREVIEW_SAMPLES + 1,
        "is_any": int(rule.condition.operator == "stale"),
    }
    try:
        rows = reading_client().query(SQL["history"], parameters=parameters).result_rows
    except ClickHouseError as error:
        if not is_unknown_table(error):
            raise PreviewUnavailable from error
        rows = []  # The feed has not made its tables yet: there is no past.
    kept = rows[:_PREVIEW_SAMPLES]
    firings = entities = 0
    for _, found in groupby(kept, key=lambda row: row[0]):
        entities += 1
        # In this order: their place is as good as an LSN.
        samples = [Sample(place, row[1], row[3], row[1], is_there=row[4]) for place, row in enumerate(found, 1)]
        firings += firings_count(rule.condition, samples, until_us=to_us(now), since_us=to_us(since))
    return Preview(firings, len(kept), entities, is_whole=len(rows) <= _PREVIEW_SAMPLES)
