"""What commands, the worker and the admin do with the tree."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import connections

from entities.partitions import tree
from entities.partitions.plan import MONTHS_AHEAD, Action, plan_make
from tenants.binding import public_bind

log = logging.getLogger(__name__)


def partitions_plan(*, now: datetime, leaves: Sequence[tree.Leaf] | None = None) -> list[Action]:
    """What the tree asks for now. leaves: of the tree, where the caller has just read it."""
    with public_bind():
        leaves, shared = tree.tree_read() if leaves is None else leaves, tree.shared_tenants()
        ids = tree.dedicated_tenants(leaves) | {large.tenant_id for large in shared}
        return plan_make(
            leaves=leaves,
            shared=shared,
            orphans=tree.orphans(),
            tenants=tree.tenants_by_id(ids),
            promote_entities=settings.PROMOTE_ENTITIES,
            archive_months=settings.ARCHIVE_MONTHS,
            now=now,
        )


def partitions_apply(*, now: datetime) -> list[Action]:
    """Do what needs nobody's decision: months ahead, tables without a tenant. Returns what was done; twice is once."""
    done = []
    ahead: set[int] = set()
    for action in partitions_plan(now=now):
        if not action.automatic:
            continue
        with public_bind(), connections["default"].cursor() as cursor:
            if action.kind == "drop":
                cursor.execute("SELECT partition_orphan_drop(%s)", (action.subject,))
            elif action.tenant_id is not None and action.tenant_id not in ahead:
                ahead.add(action.tenant_id)
                cursor.execute("SELECT partitions_ahead(%s, %s)", (action.tenant_id, MONTHS_AHEAD))
        log.info("Partitions changed.", extra={"kind": action.kind, "subject": action.subject})
        done.append(action)
    return done
