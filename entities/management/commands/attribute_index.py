"""`manage.py attribute_index plan|build|drop`: what is worth an index, and making or removing it now."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import CommandError, CommandParser

from atlasco.lib.clock import now
from entities.indexing.jobs import IndexJob, index_jobs, index_request
from entities.indexing.proposals import IndexProposal, index_proposals, index_run, indexed_attributes, proposal_reason
from tenants.binding import tenant_bind
from tenants.management.base import TenantsCommand
from tenants.selectors import tenant_get

_SHOWN: Final = 50
_SLICE_S: Final = 2.0


class Command(TenantsCommand):
    help = (
        "Shows which attributes of a tenant are worth an index, with what it would save and cost; builds or drops one "
        "beside everything that goes on. A build that is interrupted goes on where it was, here or in the worker."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["plan", "build", "drop"])
        parser.add_argument("names", nargs="*", metavar="NAME", help="Attributes to build or drop the index of.")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--no-wait", action="store_true", help="Leave the work to the worker.")

    def run(self, **options: Any) -> None:
        tenant = tenant_get(slug=options["tenant"])
        with tenant_bind(tenant):
            if options["action"] == "plan":
                self._plan(tenant.pk)
                return
            if not options["names"]:
                raise CommandError(f"Which attributes? manage.py attribute_index {options['action']} NAME …")
            asked = index_request(
                tenant_id=tenant.pk,
                names=options["names"],
                action=options["action"],
                now=now(),
                requested_by="command",
                reason="Asked for on the command line.",
            )
            left = sorted(set(options["names"]) - set(asked))
            if left:
                self.stdout.write(f"Nothing to do for {', '.join(left)}: unknown, so already, or under way.")
            if not options["no_wait"]:
                self._work(tenant.pk, set(options["names"]))

    def _plan(self, tenant_id: int) -> None:
        proposals = index_proposals(tenant_id=tenant_id, now=now())
        for proposal in proposals:
            self.stdout.write(f"{proposal.action} {proposal.name}: {_proposal_text(proposal)}")
        if not proposals:
            self.stdout.write("Nothing is worth doing: no recent search would gain enough by an index.")
        for indexed in indexed_attributes(tenant_id=tenant_id, now=now(), limit=_SHOWN):
            self.stdout.write(
                f"indexed {indexed.name}: {indexed.values:,} values, about {indexed.megabytes:,.1f} MB,"
                f" tested by {indexed.searches:,.0f} recent searches"
            )

    def _work(self, tenant_id: int, names: set[str]) -> None:
        while index_run(tenant_id=tenant_id, seconds_max=_SLICE_S, clock=now):
            for job in index_jobs(tenant_id=tenant_id, limit=_SHOWN):
                if job.is_open and job.name in names:
                    self.stdout.write(f"{job.name}: {job.entities_done:,} entities, {job.percent} %")
            self.stdout.flush()
        for job in index_jobs(tenant_id=tenant_id, limit=1000):
            if job.name in names:
                self.stdout.write(f"{job.name}: {_job_text(job)}")


def _proposal_text(proposal: IndexProposal) -> str:
    cost = (
        f"{proposal.values:,} values, about {proposal.megabytes:,.1f} MB and {proposal.build_s:,.0f} s of work;"
        f" {proposal.write_share:.0%} of the entities written write to it"
    )
    return f"{proposal_reason(proposal)} {cost}."


def _job_text(job: IndexJob) -> str:
    what = "the index is whole" if job.action == "build" else "the index is gone"
    text = f"{what}, {job.values_done:,} values in {job.work_ms / 1000:,.1f} s of work"
    return f"{text}. {job.detail}" if job.detail else text
