"""The machine: what ran where, so that a figure can be read a year later."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

HOME = Path(__file__).parents[1]
"""Where `python -m bench...` works from."""
CLIENT_CORE = 0
ENDPOINT_CORE = 1
"""Places in the list of cores that this process may use."""
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""As it was when this was imported, before anything is pinned."""

PACKAGES = ("streamproc", "aiohttp", "anyio", "apsw", "httptools", "msgspec", "redis", "uvloop")


class Machine(Struct, frozen=True):
    """What a figure depends on.

    Attributes:
        cpu: the processor's model.
        cores: how many of them may be used.
        memory_gib: of the machine.
        load: runnable processes at the start, the mean of a minute; those of others make all figures less certain.
        disk: kind of the file system that output is written to; on `tmpfs` a flush costs nothing.
        system: operating system and its version.
        python: the interpreter and its version.
        packages: versions by name.
        commit: of the code measured; ends in `+` if files differ from it.
    """

    cpu: str
    cores: int
    memory_gib: float
    load: float
    disk: str
    system: str
    python: str
    packages: dict[str, str]
    commit: str


def pin(place: int) -> None:
    """Keep this process, and threads made from now on, on one core; does nothing where there is only one."""
    if len(CORES) > max(1, place):
        os.sched_setaffinity(0, {CORES[place]})


@contextmanager
def beside() -> Iterator[None]:
    """Have processes that are started in the block run on the core of the endpoint."""
    before = os.sched_getaffinity(0) if CORES else set()
    pin(ENDPOINT_CORE)
    try:
        yield
    finally:
        if CORES:
            os.sched_setaffinity(0, before)


def describe() -> Machine:
    """Look at this machine and this checkout."""
    return Machine(
        cpu=_cpu(),
        cores=len(CORES) or os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        load=round(os.getloadavg()[0], 2),
        disk=_disk(Path(tempfile.gettempdir()).resolve()),
        system=platform.platform(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: version(name) for name in PACKAGES},
        commit=_commit(),
    )


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _disk(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    lines = mounts.read_text().splitlines() if mounts.exists() else []
    kinds = {Path(line.split()[1]): line.split()[2] for line in lines}
    return next((kinds[place] for place in (folder, *folder.parents) if place in kinds), "unknown")


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/streamproc", ":/bench/*.py")
    return (git("rev-parse", "HEAD") or "unknown") + ("+" if changed else "")
