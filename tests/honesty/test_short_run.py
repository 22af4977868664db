"""The honesty check in its short form: replicas paused, Valkey and the primary killed, a replica promoted."""

from __future__ import annotations

import json
from io import StringIO

from django.core.management import call_command


def test_no_answer_claims_more_than_is_true_while_everything_breaks() -> None:
    out = StringIO()
    call_command("honesty", "--short", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert set(report["violations"].values()) == {0}
    assert report["values_compared"] > 100 and report["token_reads"] > 0 and report["sla_met_claims"] > 0
    # While the primary was down its replicas answered, and said that it was they.
    assert report["phases"]["primary killed"]["reads"] > report["phases"]["primary killed"]["failed"]
    assert any(entry["tier"] == "REALTIME" and entry["source"] == "read-replica" for entry in report["served"])
