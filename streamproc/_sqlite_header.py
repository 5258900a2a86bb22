"""Where a SQLite file says whose it is (https://sqlite.org/fileformat.html). Reads files, changes nothing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_MARK = slice(68, 72)
_LOG_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_LOG_MAGICS = (0x377F0682, 0x377F0683)


def is_marked(header: bytes, application_id: int) -> bool:
    """Tell whether the header is that of a SQLite file with this mark."""
    return header.startswith(_MAGIC) and header[_MARK] == application_id.to_bytes(4, "big")


def header_of(path: Path) -> bytes:
    """Give the header as it stands in the file; empty if the file is."""
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def logged_header_of(path: Path) -> bytes:
    """Give the header as the file's write-ahead log has it last; empty where there is none.

    Power that fails while SQLite carries the log over may leave the file's first page torn. What counts then is the
    log, from which SQLite mends the page.
    """
    try:
        with path.with_name(path.name + "-wal").open("rb") as log:
            return _first_page(log)
    except FileNotFoundError:
        return b""


def _first_page(log: BinaryIO) -> bytes:
    start = log.read(_LOG_HEADER.size)
    if len(start) < _LOG_HEADER.size:
        return b""
    magic, _, page_bytes, _, *salts_and_sums = _LOG_HEADER.unpack(start)
    if magic not in _LOG_MAGICS:
        return b""
    found = b""
    while len(frame := log.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
        page, _, *salts, _, _ = _FRAME_HEADER.unpack(frame)
        if salts != salts_and_sums[:2]:  # left from before the log was begun anew
            break
        content = log.read(page_bytes)
        if page == 1 and len(content) == page_bytes:
            found = content[:HEADER_BYTES]
    return found
