"""The program that is counted: `valgrind ... python -m bench.gate.counted FOLDER CHECK...`.

Importing is most of the work, so it is done once: every piece of work runs in a fork of this process, and valgrind
writes down what each process has executed. Beside each piece of work stands a fork that does nothing, to be subtracted.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.gate.checks import CHECKS, REFERENCE, Check, Prepare, Work

_FIRST = 3


class Fork(Struct, frozen=True):
    """A process that did the work on so many records of a check, and one that only began like it."""

    check: str
    records: int
    worked: int
    idle: int


def main(folder: Path, wanted: Sequence[str]) -> None:
    """Do the work of the checks that are named, and leave a list of who did what in the folder."""
    forks: list[Fork] = []
    for check in (REFERENCE, *CHECKS):
        if check is not REFERENCE and check.name not in wanted:
            continue
        forks += _forks(folder, check)
    (folder / "forks.json").write_bytes(msgspec.json.encode(forks))


def _forks(folder: Path, check: Check) -> list[Fork]:
    _prepared(folder, check.prepare, _FIRST)()  # what is imported and filled in when it is first used
    begun = []
    for records in (check.few, check.many):
        work = _prepared(folder, check.prepare, records)
        gc.collect()
        gc.freeze()
        begun.append(Fork(check.name, records, worked=_fork(work), idle=_fork(lambda: None)))
    for fork in begun:
        _wait(fork.worked)
        _wait(fork.idle)
    return begun


def _prepared(folder: Path, prepare: Prepare, records: int) -> Work:
    return prepare(Path(tempfile.mkdtemp(dir=folder)), records)


def _fork(work: Work) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the border of a process: it is shown, and told by the exit code
            sys.excepthook(*sys.exc_info())
        os._exit(status)
    return process


def _wait(process: int) -> None:
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit("a piece of work failed; what it said stands above")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
