"""What the control groups of Linux allow this process, in both versions and mixtures of them.

A process is in a chain of groups, each within the next, and each may have a limit. What holds is the least. Whatever
cannot be found or read counts as no limit: on a machine without control groups, such as a Mac, there is none at all.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from msgspec import Struct

NO_LIMIT = 1 << 60
"""Version 1 says "none" by a number near 2**63."""

_OCTAL = re.compile(r"\\([0-7]{3})")


class MemoryGroup(Struct, frozen=True):
    """A group with a limit of memory.

    Attributes:
        limit_bytes: the most its processes may use together.
        used_bytes: what they use now, less files in the page cache that were not used lately; `None` if unknown.
    """

    limit_bytes: int
    used_bytes: int | None


class _Folder(Struct, frozen=True):
    path: Path
    version: int


class Cgroups:
    """The control groups of this process, found once.

    Args:
        root: where `proc` and `sys` lie.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._memory = self._chain("memory")
        self._cpu = self._chain("cpu")
        self.folders = tuple(folder.path for folder in self._memory if folder.version == 2)

    def memory(self) -> list[MemoryGroup]:
        """Give the groups that limit memory, from the innermost out. Reads up to four small files a group."""
        groups = []
        for folder in self._memory:
            limit = _memory_limit(folder)
            if limit is not None:
                groups.append(MemoryGroup(limit, _memory_used(folder)))
        return groups

    def memory_limit(self) -> int | None:
        """Give the most bytes that this process may use with its neighbours, or `None` for no limit."""
        return min((group.limit_bytes for group in self.memory()), default=None)

    def cpus(self) -> float | None:
        """Give the number of CPUs that the quotas leave, such as 0.5, or `None` for no quota."""
        return min((quota for folder in self._cpu if (quota := _cpu_quota(folder)) is not None), default=None)

    def _chain(self, controller: str) -> list[_Folder]:
        """Give the folders of a controller that may be there, from the innermost out, version 2 first."""
        paths = self._paths()
        mounts = self._mounts() or _USUAL_MOUNTS
        chain = []
        for version, controllers, inside, at in sorted(mounts, key=lambda mount: -mount[0]):
            path = paths.get("" if version == 2 else controller)
            if path is None or (version == 1 and controller not in controllers):
                continue
            mount = self._root / at.lstrip("/")
            below = _below(path, inside)
            chain += [_Folder(mount / part, version) for part in (below, *below.parents)]
        return [folder for folder in dict.fromkeys(chain) if folder.path.is_dir()]

    def _paths(self) -> dict[str, str]:
        """Give the path of this process's group by controller; under the empty name that of version 2."""
        paths = {}
        for line in (_text(self._root / "proc/self/cgroup") or "").splitlines():
            parts = line.split(":", 2)
            if len(parts) == 3:
                for controller in parts[1].split(","):
                    paths[controller] = parts[2]
        return paths

    def _mounts(self) -> list[tuple[int, tuple[str, ...], str, str]]:
        """Give version, controllers, the group that is its root, and the place of each mounted hierarchy."""
        mounts = []
        for line in (_text(self._root / "proc/self/mountinfo") or "").splitlines():
            before, _, after = line.partition(" - ")
            fields, kinds = before.split(), after.split()
            if len(fields) >= 5 and kinds and kinds[0] in {"cgroup", "cgroup2"}:
                version = 2 if kinds[0] == "cgroup2" else 1
                mounts.append((version, tuple(kinds[-1].split(",")), _unescaped(fields[3]), _unescaped(fields[4])))
        return mounts


_USUAL_MOUNTS: list[tuple[int, tuple[str, ...], str, str]] = [
    (2, (), "/", "/sys/fs/cgroup"),
    (2, (), "/", "/sys/fs/cgroup/unified"),
    (1, ("memory",), "/", "/sys/fs/cgroup/memory"),
    (1, ("cpu",), "/", "/sys/fs/cgroup/cpu,cpuacct"),
    (1, ("cpu",), "/", "/sys/fs/cgroup/cpu"),
]


def _below(path: str, inside: str) -> PurePosixPath:
    """Give where a group lies below the group that is the root of a mount; the mount itself if that cannot be told."""
    whole, root = PurePosixPath(path), PurePosixPath(inside)
    if ".." in whole.parts or not whole.is_relative_to(root):
        return PurePosixPath()
    return whole.relative_to(root)


def _memory_limit(folder: _Folder) -> int | None:
    names = ("memory.max", "memory.high") if folder.version == 2 else ("memory.limit_in_bytes",)
    limits = [limit for name in names if (limit := _number(folder.path / name)) is not None and limit < NO_LIMIT]
    return min(limits, default=None)


def _memory_used(folder: _Folder) -> int | None:
    current, idle = ("memory.current", "inactive_file") if folder.version == 2 else _VERSION_1_USE
    used = _number(folder.path / current)
    if used is None:
        return None
    for line in (_text(folder.path / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == idle and value.isdecimal():
            return max(0, used - int(value))
    return used


_VERSION_1_USE = ("memory.usage_in_bytes", "total_inactive_file")


def _cpu_quota(folder: _Folder) -> float | None:
    if folder.version == 2:
        parts = (_text(folder.path / "cpu.max") or "").split()
        quota, period = (_whole(parts[0]), _whole(parts[1])) if len(parts) == 2 else (None, None)
    else:
        quota, period = _number(folder.path / "cpu.cfs_quota_us"), _number(folder.path / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _number(path: Path) -> int | None:
    return _whole(_text(path) or "")


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None  # neither "max" nor -1


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
