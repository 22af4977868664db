"""What has to hold before a process serves anybody. `atlasco.wsgi` asks; commands need not."""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, Tags, run_checks
from django.db import InterfaceError, OperationalError, connections

log = logging.getLogger(__name__)


class ServingRefused(SystemExit):
    """A check found what would show one tenant's rows to another. Ends the process with the reasons."""


def serving_check() -> None:
    """Ask every database whether its role is harmless; warn of a secret key that nobody else knows.

    A database that does not answer is no reason not to serve: the others may, and it comes back.
    Raises ServingRefused.
    """
    # It needs the models, which a module of this package can't count on being there.
    from tenants.checks import secret_key_is_set

    found: dict[str, CheckMessage] = {}
    for alias in settings.DATABASES:
        try:
            messages = run_checks(tags=[Tags.database], databases=[alias])
        except (OperationalError, InterfaceError) as error:
            log.warning(
                "A database does not answer; its role was not checked.",
                extra={"database": alias, "error": type(error).__name__},
            )
        else:
            found.update({str(message): message for message in messages})
        finally:
            # The threads that serve open their own.
            connections[alias].close()
    found.update({str(message): message for message in secret_key_is_set()})
    errors = [text for text, message in found.items() if message.level >= ERROR]
    if errors:
        raise ServingRefused("\n".join(["Atlasco does not serve with these settings:", *errors]))
    for text in found:
        log.warning(text)
