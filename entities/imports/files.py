"""Where the bodies of imports wait: Django's default storage, one folder a tenant."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from django.core.files.base import File
from django.core.files.storage import default_storage

from entities.models import ImportJob

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 1 << 18
_FOLDER: Final = "imports"


def file_save(*, path: str, chunks: Iterable[bytes]) -> int:
    """Keep the chunks under this path, never whole in memory. Returns how many bytes they are.

    Raises OSError, and what the chunks raise; the file may then be there in part.
    """
    stream = ChunkStream(chunks)
    default_storage.save(path, File(io.BufferedReader(stream, CHUNK)))
    return stream.size


def file_path(*, tenant_id: int, job_id: uuid.UUID) -> str:
    return f"{_FOLDER}/{tenant_id}/{job_id}"


def files_list(*, tenant_id: int) -> list[str]:
    """The paths of the tenant's files, those of uploads under way included."""
    folder = f"{_FOLDER}/{tenant_id}"
    try:
        return [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    except FileNotFoundError:
        return []


def file_remove(job: ImportJob) -> None:
    """Remove the file of a job that has ended."""
    default_storage.delete(job.file_path)
    # Whoever finds an ended job with a path knows that its file may still be there.
    ImportJob.objects.using("default").filter(tenant_id=job.tenant_id, job_id=job.job_id).update(file_path="")


class ChunkStream(io.RawIOBase):
    """Chunks as a file, for a storage to read, whatever it is. size: bytes so far."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.size += count
        return count
