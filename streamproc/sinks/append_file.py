"""A file that only grows, and of which only the committed beginning counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from streamproc.errors import Refused
from streamproc.sinks.run_folder import sync_folder

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
READ_BYTES = 1 << 20


class Segment(Struct, frozen=True):
    """What one commit appended: bytes `start` to `stop` of a file, and their BLAKE2b digest (16 bytes)."""

    file: str
    start: int
    stop: int
    digest: bytes


class AppendFile:
    """Write at the committed end, and nowhere else.

    Whatever a crash left after the committed end is cut off when the file is opened: never appended to, never skipped.
    Writes go through `pwrite`, so that no buffer of Python's can hold a torn row back for later.

    Args:
        name: what its segments are called.
        path: the file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._fd: int | None = None
        self._end = 0

    def open(self, segments: Iterable[Segment]) -> None:
        """Check the committed beginning, and cut off what follows it.

        Args:
            segments: all that was committed, in order.

        Raises:
            Refused: the committed beginning is missing, shortened or changed; the file is left as it is.
        """
        known = list(segments)
        self._end = known[-1].stop if known else 0
        existed = self.path.exists()
        if not existed and self._end:
            raise Refused(f"{self.path} is gone, but {self._end} bytes of it are committed. Restore it, or --overwrite")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        if size < self._end:
            raise Refused(f"{self.path} is damaged: it has {size} bytes, {self._end} are committed")
        for segment in known:
            if self._digest(segment.start, segment.stop) != segment.digest:
                raise Refused(
                    f"{self.path} is damaged: bytes {segment.start} to {segment.stop} are not what was committed. "
                    "Restore it, or discard it with --overwrite"
                )
        if size > self._end:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        if not existed:
            sync_folder(self.path.parent)

    def append(self, data: bytes) -> Segment:
        """Write at the end; not durable before `sync`, and not committed before its segment is."""
        assert self._fd is not None, "open() comes first"
        start, view = self._end, memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._end)
            self._end += written
            view = view[written:]
        return Segment(self.name, start, self._end, hashlib.blake2b(data, digest_size=16).digest())

    def sync(self) -> None:
        """Make what was appended survive a power cut. A failure is final: it must not be tried again."""
        assert self._fd is not None, "open() comes first"
        _sync(self._fd)

    def _digest(self, start: int, stop: int) -> bytes:
        assert self._fd is not None, "open() comes first"
        total = hashlib.blake2b(digest_size=16)
        while start < stop and (part := os.pread(self._fd, min(READ_BYTES, stop - start), start)):
            total.update(part)
            start += len(part)
        return total.digest()

    def close(self) -> None:
        """Close the file. Harmless when called twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
