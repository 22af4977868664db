"""The partition tree as a picture, for platform admins: sizes, temperature, and tenants that should have their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from atlasco.lib import clock
from atlasco.lib.errors import Problem
from atlasco.lib.words import size_text
from entities.admin.pages import text_typed
from entities.models import PartitionPromotion
from entities.partitions import tree
from entities.partitions.promotion import promotion_request, promotions_recent
from entities.partitions.services import partitions_plan
from entities.tasks import promotion_enqueue
from tenants.admin.pages import Page, request_user
from tenants.models import Tenant
from tenants.selectors import tenant_get

# The picture's width in units of its own; a leaf is drawn at least so wide, or nobody could point at it.
WIDTH: Final = 1000.0
_LEAF_MIN: Final = 3.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One leaf, drawn. label says in words what the drawing shows."""

    x: float
    width: float
    temperature: str
    label: str


@dataclass(frozen=True, slots=True)
class LeafRow:
    """One leaf in words."""

    leaf: tree.Leaf
    owner: str
    temperature: str
    size: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One bucket of the tree."""

    number: int
    size: str
    entities: int
    tenants: int
    segments: list[Segment]
    leaves: list[LeafRow]


class PartitionTree(Page):
    """Every branch with its leaves, and what is to be done about them."""

    host = "platform"
    nav = "partitions"
    title = "Partitions"
    template_name = "atlasco/partitions/tree.html"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._show()

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Start a promotion in the background."""
        slug = text_typed(request.POST, "slug", 40)
        try:
            tenant = tenant_get(slug=slug)
            promotion_request(tenant=tenant, by=request_user(request).get_username(), now=clock.now())
        except Problem as problem:
            return self._show(status=problem.status, refused=problem.detail, slug=slug)
        promotion_enqueue(tenant.pk)
        return self.leave(reverse("admin:partitions"), f"{tenant.slug} is on its way to partitions of its own.")

    def _show(self, *, status: int = 200, **context: Any) -> HttpResponseBase:
        now = clock.now()
        leaves = tree.tree_read()
        tenants = tree.tenants_by_id(tree.dedicated_tenants(leaves))
        return self.render(
            status=status,
            branches=branches_draw(leaves, tenants={pk: tenant.slug for pk, tenant in tenants.items()}, now=now),
            actions=partitions_plan(now=now, leaves=leaves),
            promotions=promotions_show(),
            whole=size_text(sum(leaf.bytes for leaf in leaves)),
            leaves=len(leaves),
            **context,
        )


class PromotionProgress(Page):
    """How far the promotions are, as a part of the page that asks again."""

    host = "platform"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.fragment("atlasco/partitions/promotions.html", promotions=promotions_show())


def promotions_show() -> list[tuple[Tenant, PartitionPromotion]]:
    """The newest promotions with their tenants."""
    found = promotions_recent(limit=10)
    tenants = tree.tenants_by_id({promotion.tenant_id for promotion in found})
    return [(tenants[one.tenant_id], one) for one in found if one.tenant_id in tenants]


def branches_draw(leaves: Sequence[tree.Leaf], *, tenants: dict[int, str], now: datetime) -> list[Branch]:
    """The tree as drawn: the largest branch fills the width, the others in proportion. Pure."""
    buckets: dict[int, list[tree.Leaf]] = {}
    for leaf in leaves:
        buckets.setdefault(leaf.bucket, []).append(leaf)
    largest = max((sum(leaf.bytes for leaf in found) for found in buckets.values()), default=0) or 1
    branches = []
    for number, found in sorted(buckets.items()):
        x = 0.0
        segments, rows = [], []
        for leaf in found:
            temperature = leaf.temperature(now=now)
            owner = "shared" if leaf.tenant_id is None else tenants.get(leaf.tenant_id, f"tenant {leaf.tenant_id}")
            width = max(_LEAF_MIN, leaf.bytes / largest * WIDTH)
            month = "" if leaf.tenant_id is None else f", {leaf.month}"
            label = f"{owner}{month}: {size_text(leaf.bytes)}, about {leaf.entities:,} entities, {temperature}"
            segments.append(Segment(x, max(1.0, width - 1), temperature, label))
            rows.append(LeafRow(leaf, owner, temperature, size_text(leaf.bytes)))
            x += width
        branches.append(
            Branch(
                number=number,
                size=size_text(sum(leaf.bytes for leaf in found)),
                entities=sum(leaf.entities for leaf in found),
                tenants=len({leaf.tenant_id for leaf in found if leaf.tenant_id is not None}),
                segments=segments,
                leaves=rows,
            )
        )
    return branches
