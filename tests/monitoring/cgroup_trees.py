"""Folders that look like the control groups of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NONE_V1 = "9223372036854771712"
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def tree(
    root: Path, cgroup: str | None = None, mounts: str | None = None, files: Mapping[str, str] | None = None
) -> Path:
    """Write `proc/self/cgroup`, `proc/self/mountinfo` and files below `sys/fs/cgroup`; give the root."""
    own = root / "proc/self"
    own.mkdir(parents=True)
    if cgroup is not None:
        (own / "cgroup").write_text(cgroup)
    if mounts is not None:
        (own / "mountinfo").write_text(mounts)
    for name, text in (files or {}).items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root
