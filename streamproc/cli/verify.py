"""`streamproc verify`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from streamproc.cli import exits
from streamproc.cli.jobs import load_job
from streamproc.observe.printable import one_line
from streamproc.pipeline.verification import verify


def verify_job(job: Path, settings: list[str]) -> int:
    """Print what the verification found, and give the exit code: 0 proven, 1 proven so far but unfinished, 3 not."""
    result = asyncio.run(verify(load_job(job, settings)))
    for problem in result.problems:
        sys.stdout.write(f"PROBLEM: {one_line(problem)}\n")
    sys.stdout.write(
        f"{result.records} records of input: {result.completed} completed, {result.dead_letters} dead letters, "
        f"{result.remaining} without an outcome yet\n"
    )
    if result.problems:
        sys.stdout.write("NOT VERIFIED\n")
        return exits.REFUSED
    which = "each of those that ended did so" if result.remaining else "each of those ended"
    sys.stdout.write(f"verified: {which} exactly once, and output and state agree\n")
    return exits.DEAD_LETTERS if result.remaining else exits.COMPLETED
