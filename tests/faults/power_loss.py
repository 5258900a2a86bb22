"""What a disk may hold after the power failed, given what was done to it until then. Shares no code with streamproc.

A flush makes a file's bytes last, a flush of its folder its name. Of everything else each write is there, missing, half
there, or there as zeros or as garbage; each cut of a file's length happened or not; and of what was done to a name, or
to names between which a file was renamed, only the beginning counts.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.disk_log import Operation

FATES = ("kept", "dropped", "halved", "zeroed", "garbled")


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)

    def flush(self) -> None:
        for operation in self.pending:
            _apply(self.durable, operation, operation.data)
        self.pending.clear()

    def content(self, draw: random.Random) -> bytes:
        content = bytearray(self.durable)
        calm = draw.random() < 1 / 4  # often all of the rest had reached the disk, or none of it
        fates = (draw.choice(FATES[:2]),) if calm else FATES
        for operation in self.pending:
            fate, data = draw.choice(fates), operation.data
            if fate == "dropped" or (operation.kind == "truncate" and fate != "kept"):
                continue
            if fate == "halved":
                data = data[: len(data) // 2]
            elif fate == "zeroed":
                data = bytes(len(data))
            elif fate == "garbled":
                data = draw.randbytes(len(data))
            _apply(content, operation, data)
        return bytes(content)


_FOLDER = _File()
_Chain = list[dict[str, _File | None]]
"""Changes of names that only count together with all before them: each gives names their files, or none."""


def _apply(content: bytearray, operation: Operation, data: bytes) -> None:
    if operation.kind == "truncate":
        del content[operation.at :]
        content.extend(bytes(operation.at - len(content)))
    else:
        content.extend(bytes(max(0, operation.at - len(content))))
        content[operation.at : operation.at + len(data)] = data


class Disk:
    """A folder's files, as they are and as they would be after a power loss.

    Args:
        operations: done to an empty folder, in order.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._now: dict[str, _File] = {}
        self._names: dict[str, _File] = {}
        self._pending: list[_Chain] = []
        for operation in operations:
            self._do(operation)

    def _do(self, operation: Operation) -> None:
        path = operation.path
        if operation.kind in {"create", "make folder"}:
            self._now[path] = file = _FOLDER if operation.kind == "make folder" else _File()
            self._step({path: file})
        elif operation.kind == "remove":
            if self._now.pop(path, None) is not None:
                self._step({path: None})
        elif operation.kind == "rename":
            assert _parent(path) == _parent(operation.new), "files are renamed within their folder"
            self._now[operation.new] = file = self._now.pop(path)
            self._step({path: None, operation.new: file})
        elif operation.kind != "flush":
            self._now[path].pending.append(operation)
        elif path and self._now[path] is not _FOLDER:
            self._now[path].flush()
        else:
            for chain in [chain for chain in self._pending if _parent(next(iter(chain[0]))) == path]:
                self._pending.remove(chain)
                _take(self._names, chain)

    def _step(self, step: dict[str, _File | None]) -> None:
        linked = [chain for chain in self._pending if any(step.keys() & earlier.keys() for earlier in chain)]
        for chain in linked:
            self._pending.remove(chain)
        self._pending.append([*(earlier for chain in linked for earlier in chain), step])

    def lose_power(self, draw: random.Random) -> dict[str, bytes | None]:
        """Give one of the things that may be left: the content of each file by its path, `None` for a folder."""
        names = dict(self._names)
        for chain in self._pending:
            _take(names, chain[: draw.randint(0, len(chain))])
        left: dict[str, bytes | None] = {}
        for name in sorted(names):  # folders before what is in them
            if not _parent(name) or _parent(name) in left:
                left[name] = None if names[name] is _FOLDER else names[name].content(draw)
        return left


def _take(names: dict[str, _File], steps: Sequence[dict[str, _File | None]]) -> None:
    for step in steps:
        names.update({name: file for name, file in step.items() if file is not None})
        for name in [name for name, file in step.items() if file is None]:
            names.pop(name, None)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def lay_out(folder: Path, left: dict[str, bytes | None]) -> None:
    """Put into a folder what is left."""
    for name, content in left.items():
        path = folder / name
        if content is None:
            path.mkdir(mode=0o700)
        else:
            path.write_bytes(content)
            path.chmod(0o600)
