"""The Celery application: `celery -A atlasco worker`, `celery -A atlasco beat`.

Each app names its own periodic tasks in `tasks.SCHEDULE`; they are gathered here.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "atlasco.settings")

app = Celery("atlasco")
# For every thread: web requests hand work to the worker, too.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


ORIGIN_HEADER = "atlasco_origin"
SEEN_HEADER = "atlasco_seen"
_task_origin: ContextVar[ExitStack | None] = ContextVar("task_origin", default=None)


@signals.before_task_publish.connect
def origin_send(headers: dict[str, Any] | None = None, **_: object) -> None:
    """A task remembers who asked for it, so that the audit log does."""
    # Late, here and below: this module is loaded before the apps are ready.
    from freshness.state import freshness_state_entered
    from freshness.timelines import Position, position_text
    from tenants.actors import origin_dump

    if headers is not None:
        headers[ORIGIN_HEADER] = origin_dump()
        state = freshness_state_entered()
        if state is not None and state.written is not None:
            headers[SEEN_HEADER] = position_text(Position(state.written.timeline, state.written.lsn))


@signals.task_prerun.connect
def origin_enter(task: Any = None, **_: object) -> None:
    # Late: see above.
    from freshness.state import FreshnessState, freshness_scope
    from freshness.timelines import NOWHERE, position_parse
    from tenants.actors import origin_bind, origin_load

    stack = ExitStack()
    stack.enter_context(origin_bind(origin_load(getattr(task.request, ORIGIN_HEADER, None))))
    # A task that may read replicas names a `freshness_class`; it sees what the request that sent it has written.
    seen = getattr(task.request, SEEN_HEADER, None)
    stack.enter_context(
        freshness_scope(
            FreshnessState(
                orm_class=getattr(task, "freshness_class", None), seen=position_parse(seen) if seen else NOWHERE
            )
        )
    )
    _task_origin.set(stack)


@signals.task_postrun.connect
def origin_leave(**_: object) -> None:
    stack = _task_origin.get()
    if stack is not None:
        _task_origin.set(None)
        stack.close()


@app.on_after_finalize.connect
def schedule_gather(sender: Celery, **_: object) -> None:
    """Put every app's periodic tasks on beat's table."""
    # Late: tasks need the models.
    from analytics import tasks as analytics_tasks
    from entities import tasks as entities_tasks
    from tenants import tasks as tenants_tasks
    from tenants.notices import tasks as notices_tasks

    apps = (tenants_tasks, notices_tasks, entities_tasks, analytics_tasks)
    sender.conf.beat_schedule = {name: entry for tasks in apps for name, entry in tasks.SCHEDULE.items()}
