"""A file that only grows, and of which only the committed beginning counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from streamproc._disk import failure, sync_folder
from streamproc.errors import Refused, StorageFailed

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
    Writes go through `pwrite`, so that no buffer of Python's can hold a torn row back for later. `append` puts bytes
    behind the committed end; `settle` moves that end once they are committed, `take_back` cuts them off.

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
        if (damage := damage_of(self.path, known)) is not None:
            raise Refused(f"{damage}. Restore it, or discard the output with --overwrite")
        if self.path.exists():
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if os.fstat(self._fd).st_size > self._end:
                os.ftruncate(self._fd, self._end)
                os.fsync(self._fd)
            if not self._end:
                sync_folder(self.path.parent)  # whoever made the file may have died before its name was durable

    def create(self) -> None:
        """Make the file where it is missing, with mode 0600, and its name durable.

        Raises:
            StorageBlocked: there is no room for another file.
            StorageFailed: it could not be made.
        """
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise failure(self.path, error) from error
            sync_folder(self.path.parent)

    def append(self, data: bytes) -> Segment:
        """Write behind the committed end; not durable before `sync`, and not committed before its segment is.

        Raises:
            Refused: the file was removed, replaced or shortened since it was opened; nothing is written.
            StorageBlocked: there is no room; a part may have been written, for `take_back` to cut off.
            StorageFailed: it could not be written.
        """
        self.create()
        assert self._fd is not None
        stop, view = self._end, memoryview(data)
        try:
            self._refuse_changed(os.fstat(self._fd))
            while view:
                written = os.pwrite(self._fd, view, stop)
                stop += written
                view = view[written:]
        except OSError as error:
            raise failure(self.path, error) from error
        return Segment(self.name, self._end, stop, hashlib.blake2b(data, digest_size=16).digest())

    def _refuse_changed(self, held: os.stat_result) -> None:
        """Find out now, and not with all the input paid and written to a file that nobody can open."""
        if not self.path.exists() or not os.path.samestat(held, self.path.stat()):
            raise Refused(
                f"{self.path} was removed or replaced while the run worked on it. Restore it, or discard the output "
                "with --overwrite"
            )
        if held.st_size < self._end:
            raise Refused(
                f"{self.path} was shortened while the run worked on it: it has {held.st_size} bytes, {self._end} are "
                "committed. Restore it, or discard the output with --overwrite"
            )

    def sync(self) -> None:
        """Make what was appended survive a power cut.

        Raises:
            StorageFailed: it may not, whatever the reason; this must not be tried again.
        """
        assert self._fd is not None, "open() comes first"
        try:
            _sync(self._fd)
        except OSError as error:
            raise StorageFailed(f"{self.path}: {error.strerror or error}") from error

    def settle(self, segment: Segment) -> None:
        """Learn that what was appended is committed."""
        self._end = segment.stop

    @property
    def has_surplus(self) -> bool:
        """Tell whether something follows what is committed."""
        return self._fd is not None and os.fstat(self._fd).st_size > self._end

    def take_back(self) -> None:
        """Cut off what was appended and is not committed, so that it takes no room."""
        if self._fd is not None and self.has_surplus:
            os.ftruncate(self._fd, self._end)

    def close(self) -> None:
        """Close the file. Harmless when called twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def damage_of(path: Path, segments: Sequence[Segment]) -> str | None:
    """Say in what the committed beginning of a file is not what was committed, or give `None`. Changes nothing."""
    committed = segments[-1].stop if segments else 0
    if not path.exists():
        return f"{path} is gone, but {committed} bytes of it are committed" if committed else None
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < committed:
            return f"{path} is damaged: it has {size} bytes, {committed} are committed"
        for segment in segments:
            if _digest(file, segment.stop - segment.start) != segment.digest:
                return f"{path} is damaged: bytes {segment.start} to {segment.stop} are not what was committed"
    return None


def surplus_of(path: Path, segments: Sequence[Segment]) -> str | None:
    """Say what follows the committed beginning of a file, or give `None` where nothing does."""
    committed = segments[-1].stop if segments else 0
    surplus = path.stat().st_size - committed if path.exists() else 0
    if surplus <= 0:
        return None
    return f"{path} has {surplus} bytes after the {committed} that are committed; the next run cuts them off"


def _digest(file: BinaryIO, length: int) -> bytes:
    total = hashlib.blake2b(digest_size=16)
    while length and (part := file.read(min(READ_BYTES, length))):
        total.update(part)
        length -= len(part)
    return total.digest()
