"""Lines of bytes from a file, with their numbers; bounded in memory whatever the file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from streamproc.errors import ConfigError, Refused, StorageFailed

BLOCK_BYTES = 1 << 20
MAX_ROW_BYTES = 16 << 20
_BOM = b"\xef\xbb\xbf"


class Line(Struct, frozen=True, gc=False):
    """One line.

    Attributes:
        number: from 1.
        raw: its bytes without `\\n`, and without a byte order mark; cut at the reader's cap.
        oversize: its length in bytes if it was cut, else 0.
    """

    number: int
    raw: bytes
    oversize: int = 0


class LineFile:
    """A file as lines, split at `\\n` only, up to the size that it had when it was opened.

    Rows appended while a run reads are left to the next run. A last line without a line feed counts as whole: a file
    that is still being written when it is opened may end in half a row.

    Args:
        path: the file.
        max_row_bytes: a longer line is cut there, and says so; its rest is passed over without being kept.

    Attributes:
        size: its bytes when it was opened.
        left: those that the lines in use have not come to.
    """

    def __init__(self, path: Path, max_row_bytes: int = MAX_ROW_BYTES) -> None:
        self.path = path
        self._max = max_row_bytes
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise ConfigError(f"source.path: cannot read {str(path)!r}: {error.strerror}") from error
        self.left = 0
        self.size = os.fstat(self._file.fileno()).st_size

    def lines(self) -> Iterator[Line]:
        """Give the lines from the first on. One such iterator is in use at a time: they share the file's place.

        Raises:
            Refused: the file has become shorter since it was opened; the line that was cut is not given.
        """
        self._file.seek(0)
        number = 1
        self.left = self.size
        head, length = b"", 0  # of the line that the last block left unfinished: what is kept, and how long it is
        while self.left > 0:
            if not (block := self._read(self.left)):
                raise Refused(f"{self.path} became {self.left} bytes shorter while it was read; restore it")
            self.left -= len(block)
            *ended, tail = block.split(b"\n")
            for piece in ended:
                if length:
                    head += piece[: max(0, self._max - len(head))]
                    length += len(piece)
                else:
                    head, length = piece, len(piece)
                yield self._line(number, head, length)
                number += 1
                head, length = b"", 0
            head += tail[: max(0, self._max - len(head))]
            length += len(tail)
        if length:
            yield self._line(number, head, length)

    def _read(self, left: int) -> bytes:
        try:
            return self._file.read(min(BLOCK_BYTES, left))
        except OSError as error:
            raise StorageFailed(f"{self.path}: {error.strerror} while reading") from error

    def _line(self, number: int, raw: bytes, length: int) -> Line:
        if number == 1:
            raw = raw.removeprefix(_BOM)
        return Line(number, raw[: self._max], length) if length > self._max else Line(number, raw)

    def close(self) -> None:
        """Close the file. Harmless when called twice."""
        self._file.close()
