"""Counting with valgrind: every instruction of a program, with those in C, nearly the same each time, on any Linux.

Processors count instructions too, but a container or a virtual machine seldom lets one ask. Times say nothing where
others work on the same cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.gate.checks import REFERENCE
from bench.gate.counted import Fork

PROGRAM = ("-m", "bench.gate.counted")
VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""The same order of sets each time, and no certificates to read, which is much work that nobody needs here."""
_ROOT = Path(__file__).parent.parent.parent


class Count(Struct, frozen=True):
    """What a record costs.

    Attributes:
        instructions: of the whole process.
        times: as many as the loop by hand takes, counted in the same run; that makes interpreters comparable.
    """

    instructions: float
    times: float


def is_here() -> bool:
    """Tell whether valgrind is installed."""
    return shutil.which(VALGRIND[0]) is not None


def count(wanted: Sequence[str], program: Sequence[str] = PROGRAM) -> dict[str, Count]:
    """Count the checks that are named; takes some 15 s of a core.

    Args:
        wanted: names of checks.
        program: for Python; `bench.gate.counted`, or what does its work in another way.
    """
    with tempfile.TemporaryDirectory(prefix="streamproc-gate-") as name:
        folder, counts = Path(name) / "work", Path(name) / "counts"
        folder.mkdir()
        counts.mkdir()
        command = [*VALGRIND, f"--cachegrind-out-file={counts}/%p", sys.executable, *program, str(folder), *wanted]
        environment = {**os.environ, **_ENVIRONMENT}
        done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        forks = msgspec.json.decode((folder / "forks.json").read_bytes(), type=list[Fork])
        executed = {int(file.name): executed_in(file.read_text(encoding="utf-8")) for file in counts.iterdir()}
    return counts_of(forks, executed)


def executed_in(report: str) -> int:
    """Read from a report of cachegrind how many instructions there were.

    Raises:
        ValueError: it does not say.
    """
    for line in report.splitlines():
        if line.startswith("summary: "):
            return int(line.split()[1])
    raise ValueError(f"a report of cachegrind has a summary; this one ends in {report[-200:]!r}")


def counts_of(forks: Sequence[Fork], executed: Mapping[int, int]) -> dict[str, Count]:
    """Work out what a record costs in each check, from what the processes of each have executed."""
    costs: dict[str, list[Fork]] = {}
    for fork in forks:
        costs.setdefault(fork.check, []).append(fork)
    records = {name: _a_record(each, executed) for name, each in costs.items()}
    by_hand = records.pop(REFERENCE.name)
    return {name: Count(instructions, instructions / by_hand) for name, instructions in records.items()}


def _a_record(forks: Sequence[Fork], executed: Mapping[int, int]) -> float:
    few, many = (executed[fork.worked] - executed[fork.idle] for fork in forks)
    return (many - few) / (forks[1].records - forks[0].records)
