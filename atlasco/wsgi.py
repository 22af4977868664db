"""The web application, for any WSGI server."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from atlasco.serving import serving_check
from freshness.heartbeat import HeartbeatWriter
from freshness.monitor import monitor_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "atlasco.settings")
application = get_wsgi_application()
serving_check()

from analytics.feed.metrics import metrics_read  # noqa: E402  # Needs the models, which exist by now.
from freshness.recorder import recorder_start  # noqa: E402  # The same.

# Here, not in an AppConfig: only a process that serves watches the stores and may write the heartbeat.
HeartbeatWriter().start()
monitor_start()
recorder_start(feed_figures=metrics_read)

# Otherwise the first request imports every view.
_ = get_resolver().url_patterns
# What was loaded stays. A full collection would look through all of it for some 100 ms, with every thread waiting.
gc.collect()
gc.freeze()
