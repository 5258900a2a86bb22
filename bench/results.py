"""What was measured, with what it depends on, in files that can be read a year later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.machine import Machine
from bench.runner import Outcome

RESULTS = Path(__file__).parent / "results"


class Result(Struct, frozen=True):
    """One run of scenarios.

    Attributes:
        at: when it began.
        quick: whether it did a part of the usual work only.
        machine: what it ran on.
        outcomes: by scenario, in order.
    """

    at: datetime
    quick: bool
    machine: Machine
    outcomes: list[Outcome]


def stem_of(at: datetime, quick: bool, named: Sequence[str]) -> str:
    """Give the name of a result's files: the date, and what makes it less than a whole run."""
    return "-".join([f"{at:%Y-%m-%d}", *(["quick"] if quick else []), *sorted(named)])


def write(result: Result, path: Path) -> None:
    """Put a result into its file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    part.replace(path)


def read(path: Path) -> Result:
    """Read a result.

    Raises:
        msgspec.ValidationError: the file is no result.
    """
    return msgspec.json.decode(path.read_bytes(), type=Result)


def newest(folder: Path) -> Path | None:
    """Give the newest result of a whole run."""
    return max(folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"), default=None)
