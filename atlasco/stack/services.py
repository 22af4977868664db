"""What runs: one entry a service, in the order in which they are shown."""

from __future__ import annotations

from atlasco.stack.admin import admin_ensure
from atlasco.stack.clickhouse.service import ClickHouse
from atlasco.stack.django import DjangoProcess, Feed, Web, management_command
from atlasco.stack.plan import POSTGRES_NODES, Plan
from atlasco.stack.postgres import PostgresNode
from atlasco.stack.service import Service
from atlasco.stack.supervisor import Step
from atlasco.stack.valkey import Valkey

REPLICAS = POSTGRES_NODES[1:]
STORES = (*POSTGRES_NODES, "valkey", "clickhouse")
LISTENING = (*STORES, "web")
# The code runs on a migrated database only. The replicas may come later: it falls back to the primary.
READY_FOR_CODE = ("migrate", "valkey", "clickhouse")


def services(plan: Plan) -> list[Service]:
    beat_schedule = plan.run_dir.folder("beat") / "schedule"
    celery = ("-m", "celery", "--app", "atlasco")
    external = plan.external
    # With somebody else's primary there are as many replicas as were named, perhaps none.
    replicas: tuple[str, ...] = REPLICAS
    if external.database_url or external.replica_urls:
        replicas = tuple(f"replica{number}" for number in range(1, len(external.replica_urls) + 1))
    return [
        *(PostgresNode(plan, name) for name in (POSTGRES_NODES[0], *replicas)),
        Valkey(plan),
        ClickHouse(plan),
        Web(plan, after=READY_FOR_CODE),
        DjangoProcess(
            plan,
            "worker",
            argv=(
                *celery,
                "worker",
                *("--concurrency", "2", "--loglevel", "INFO", "--hostname", "worker@%h"),
                # One worker has nobody to gossip with; asking around costs a second at every start.
                *("--without-gossip", "--without-mingle"),
            ),
            ready_text=" ready.",
            after=READY_FOR_CODE,
        ),
        DjangoProcess(
            plan,
            "beat",
            argv=(*celery, "beat", "--loglevel", "INFO", "--schedule", str(beat_schedule), "--pidfile="),
            ready_text="beat: Starting",
            after=READY_FOR_CODE,
        ),
        Feed(plan, after=READY_FOR_CODE),
    ]


def migrate_step(plan: Plan) -> Step:
    """Bring every schema up to date, as the owner, while the replicas are still starting."""

    async def migrate() -> None:
        await management_command(plan, "migrate_schemas", env=plan.owner_env(), log_name="migrate")

    return Step(name="migrate", after=(plan.primary_node,), action=migrate)


def admin_step(plan: Plan) -> Step:
    """Make sure of the platform admin."""

    async def ensure_admin() -> None:
        await admin_ensure(plan)

    return Step(name="ensure_admin", after=("migrate",), action=ensure_admin)


STEPS = {"migrate": migrate_step, "ensure_admin": admin_step}
