"""Writes down what a process does to the files of a folder, call by call, with the data: what a disk would see.

`kill_points` stops the process before each such call; then its descriptors and its memory can be read.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec
from msgspec import Struct

from tests.system.kill_points import file_of, read_memory

Kind = Literal["create", "make folder", "write", "truncate", "flush", "remove", "rename"]
UNLOGGED = "-shm"
"""SQLite's index of its log is mapped memory, and made anew after a crash."""
_LONGEST_PATH = 4096
_FLUSHES = {"fsync", "fdatasync"}


class Operation(Struct, frozen=True):
    """One change, or one flush.

    Attributes:
        kind: what is done.
        path: within the folder; empty for the folder itself.
        new: the new path within the folder, of a renaming.
        at: where the data goes, or how long the file becomes.
        data: what is written.
        billed: the size of the endpoint's bill just before.
    """

    kind: Kind
    path: str
    at: int = 0
    data: bytes = b""
    billed: int = 0
    new: str = ""


def operations(log: Path) -> list[Operation]:
    """Read a log."""
    return msgspec.msgpack.decode(log.read_bytes(), type=list[Operation])


class DiskLog:
    """A witness for `kill_points`; what it saw is in the file when its `with` block is left.

    The folder is the one that holds the log; the endpoint's bill is looked at if it lies beside that.

    Args:
        log: appended to, if it is there already.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._folder = log.parent / "run"
        self._ledger = log.parent / "ledger"
        self._seen = operations(log) if log.exists() else []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.write_bytes(msgspec.msgpack.encode(self._seen))

    def __call__(self, child: int, name: str, arguments: list[int]) -> None:
        """Note a call that is about to happen."""
        first, second, third, fourth, *_ = arguments
        if name == "pwrite64":
            self._add("write", file_of(child, first), fourth, read_memory(child, second, third))
        elif name == "write":
            self._add("write", file_of(child, first), _offset(child, first), read_memory(child, second, third))
        elif name == "ftruncate":
            self._add("truncate", file_of(child, first), second)
        elif name in _FLUSHES:
            self._add("flush", file_of(child, first))
        elif name in {"unlink", "unlinkat"}:
            self._add("remove", _text(child, first if name == "unlink" else second))
        elif name in {"rename", "renameat", "renameat2"}:
            old, new = (first, second) if name == "rename" else (second, fourth)
            self._add("rename", _text(child, old), new=_text(child, new))
        elif name in {"mkdir", "mkdirat"}:
            self._make("make folder", _text(child, first if name == "mkdir" else second))
        elif name in {"open", "openat"}:
            path, flags = (first, second) if name == "open" else (second, third)
            if flags & os.O_TRUNC:
                assert not self._within(_text(child, path)), "a file is emptied by opening it"
            if flags & os.O_CREAT:
                self._make("create", _text(child, path))
        else:
            assert not self._within(file_of(child, first)), f"{name} is not understood"

    def _make(self, kind: Kind, path: str) -> None:
        if not Path(path).exists():
            self._add(kind, path)

    def _within(self, path: str) -> bool:
        return Path(path) == self._folder or self._folder in Path(path).parents

    def _add(self, kind: Kind, path: str, at: int = 0, data: bytes = b"", new: str = "") -> None:
        if not self._within(path) or path.endswith((UNLOGGED, " (deleted)")):
            return
        billed = self._ledger.stat().st_size if self._ledger.exists() else 0
        self._seen.append(Operation(kind, self._name(path), at, data, billed, self._name(new) if new else ""))

    def _name(self, path: str) -> str:
        within = str(Path(path).relative_to(self._folder))
        return "" if within == "." else within


def _text(child: int, address: int) -> str:
    return os.fsdecode(read_memory(child, address, _LONGEST_PATH).partition(b"\0")[0])


def _offset(child: int, descriptor: int) -> int:
    position = Path(f"/proc/{child}/fdinfo/{descriptor}").read_text().partition("pos:")[2]
    return int(position.split()[0])
