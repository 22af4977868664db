"""Files that a browser sends."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import TemporaryFileUploadHandler


class BoundedUploadHandler(TemporaryFileUploadHandler):
    """Refuses what no tenant may keep, before it fills the disk. The tenant's own room is looked at later."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, str],  # noqa: N803  # Django calls it so.
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length > settings.IMPORT_UPLOADS_MAX_BYTES:
            raise RequestDataTooBig("The file is larger than all the files that may wait for an import.")
