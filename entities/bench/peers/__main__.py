"""Fill both peers from a tenant's entities and time searches. Reads a job as JSON, writes milliseconds as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import django
from django.conf import settings

from atlasco.lib.databases import database_parse

SCHEMA: Final = "bench_peers"
# Those that every entity has, so that no join loses one; and django-eav2's type of each.
ATTRIBUTES: Final = {
    "status": "text", "region": "text", "owner": "text", "model": "text", "priority": "int", "cost": "float",
}  # fmt: skip
# Column and value; the text of what is none is empty, not null.
_COLUMNS: Final = {
    "text": ("value_text", "a.attributes ->> %s"),
    "int": ("value_text, value_int", "'', (a.attributes ->> %s)::bigint"),
    "float": ("value_text, value_float", "'', (a.attributes ->> %s)::float8"),
}


def main() -> None:
    job = json.load(sys.stdin)
    database = database_parse(job["url"], engine="django.db.backends.postgresql")
    database["OPTIONS"] = database.get("OPTIONS", {}) | {
        "options": f"-c search_path={SCHEMA} -c atlasco.tenant_id={job['tenant_id']} -c statement_timeout=120000"
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "eav", "entities.bench.peers.apps.PeersConfig"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EAV2_PRIMARY_KEY_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.db import connection

    try:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        _fill()
        json.dump(_measure(job["searches"]), sys.stdout)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def _fill() -> None:
    import eav
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command
    from django.db import connection
    from eav.models import Attribute

    from entities.bench.peers.models import EavUnit

    call_command("migrate", run_syncdb=True, verbosity=0)
    eav.register(EavUnit)
    kind = ContentType.objects.get_for_model(EavUnit)
    with connection.cursor() as cursor:
        for table, columns in (("peers_eavunit", ""), ("peers_jsonunit", ", attributes")):
            cursor.execute(
                f"INSERT INTO {table} (id, updated_at{columns}) SELECT entity_id, updated_at{columns}"
                " FROM public.entities WHERE tenant_id = public.tenant_bound()"
            )
        for name, datatype in ATTRIBUTES.items():
            attribute = Attribute.objects.create(name=name, slug=name, datatype=datatype)
            columns, values = _COLUMNS[datatype]
            cursor.execute(
                f"INSERT INTO eav_value (attribute_id, entity_id, entity_ct_id, created, modified, {columns})"
                f" SELECT %s, a.entity_id, %s, now(), now(), {values} FROM public.entities a"
                " WHERE a.tenant_id = public.tenant_bound()",
                [attribute.pk, kind.pk, name],
            )
        for table in ("peers_eavunit", "peers_jsonunit", "eav_value"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")


def _measure(searches: list[list[list[Any]]]) -> dict[str, Any]:
    from entities.bench.cpu import CpuClock
    from entities.bench.peers.models import EavUnit, JsonUnit

    measured: dict[str, Any] = {f"{peer}{kind}": [] for peer in ("eav", "json") for kind in ("", "_cpu", "_ids")}
    cpu = CpuClock(using="default")
    for conditions in searches:
        found = EavUnit._default_manager.all()
        documents = JsonUnit._default_manager.all()
        for name, operator, value in conditions:
            suffix = "" if operator == "eq" else f"__{operator}"
            found = found.filter(**{f"eav__{name}{suffix}": value})
            if operator == "eq":
                documents = documents.filter(attributes__contains={name: value})
            else:
                documents = documents.filter(**{f"attributes__{name}{suffix}": value})
        for key, query in (("eav", found), ("json", documents)):
            cpu_began, began = cpu.ms(), time.perf_counter()
            # The attributes of the page too, as whoever shows it needs them.
            page: list[Any] = list(query.order_by("-updated_at", "-pk")[:100])
            if key == "eav":
                for unit in page:
                    unit.eav.get_values_dict()
            measured[key].append((time.perf_counter() - began) * 1000)
            measured[f"{key}_cpu"].append(cpu.ms() - cpu_began)
            measured[f"{key}_ids"].append([unit.pk for unit in page])
    return measured


if __name__ == "__main__":
    main()
