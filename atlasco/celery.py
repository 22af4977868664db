"""The Celery application: `celery -A atlasco worker`, `celery -A atlasco beat`.

Each app names its own periodic tasks in `tasks.SCHEDULE`; they are gathered here.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "atlasco.settings")

app = Celery("atlasco")
# For every thread: web requests hand work to the worker, too.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_after_finalize.connect
def schedule_gather(sender: Celery, **_: object) -> None:
    """Put every app's periodic tasks on beat's table."""
    from analytics import tasks as analytics_tasks
    from entities import tasks as entities_tasks
    from tenants.notices import tasks as notices_tasks

    sender.conf.beat_schedule = {**notices_tasks.SCHEDULE, **entities_tasks.SCHEDULE, **analytics_tasks.SCHEDULE}
