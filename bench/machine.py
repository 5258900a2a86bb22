"""The machine: what ran where, so that a figure can be read a year later."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

CLIENT_CORE = 0
ENDPOINT_CORE = 1
"""Places in the list of cores that this process may use."""

PACKAGES = ("streamproc", "aiohttp", "anyio", "apsw", "msgspec")


class Machine(Struct, frozen=True):
    """What a figure depends on.

    Attributes:
        cpu: the processor's model.
        cores: how many of them may be used.
        system: operating system and its version.
        python: the interpreter and its version.
        packages: versions by name.
        commit: of the code measured; ends in `+` if files differ from it.
    """

    cpu: str
    cores: int
    system: str
    python: str
    packages: dict[str, str]
    commit: str


def pin(place: int) -> None:
    """Keep this process, and threads made from now on, on one core; does nothing where there is only one."""
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > place and len(cores) > 1:
            os.sched_setaffinity(0, {cores[place]})


def describe() -> Machine:
    """Look at this machine and this checkout. Call it before `pin`."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=platform.platform(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: version(name) for name in PACKAGES},
        commit=_commit(),
    )


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/streamproc", ":/bench/*.py")
    return (git("rev-parse", "HEAD") or "unknown") + ("+" if changed else "")
