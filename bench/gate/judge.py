"""Whether what a record costs has grown: the counts beside the baselines, which stand in a file that is reviewed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from bench.gate.valgrind import Count

FILE = Path(__file__).parent / "baselines.json"
TOO_MUCH = 1.2
"""So many times its baseline is no longer accepted: less than the quarter that must never pass, by more than the counts
differ from run to run (0.5 %) and from machine to machine."""
MUCH_LESS = 0.9
"""Below so many times its baseline, that should be renewed: else it would hide the growth to come."""

Baselines = Mapping[str, Mapping[str, Count]]
"""By Python's version, then by check."""

Judgement = Literal["as before", "too much", "much less", "no baseline"]


class Verdict(Struct, frozen=True):
    """What is to be said about a check.

    Attributes:
        check: its name.
        count: what was counted.
        growth: so many times the baseline; `None` where there is none.
        judgement: what follows.
    """

    check: str
    count: Count
    growth: float | None
    judgement: Judgement


def this_python() -> str:
    """Name the version whose baselines apply."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read() -> Baselines:
    """Read the baselines."""
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, dict[str, Count]])


def renew(counts: Mapping[str, Count]) -> None:
    """Make the counts the baselines of this Python; those of others stay."""
    rounded = {name: Count(round(count.instructions), float(f"{count.times:.4g}")) for name, count in counts.items()}
    baselines = dict(sorted({**(read() if FILE.exists() else {}), this_python(): rounded}.items()))
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(baselines), indent=2) + b"\n")


def judge(counts: Mapping[str, Count], baselines: Mapping[str, Count]) -> list[Verdict]:
    """Compare counts with the baselines of the same Python."""
    return [_verdict(name, count, baselines.get(name)) for name, count in counts.items()]


def _verdict(name: str, count: Count, baseline: Count | None) -> Verdict:
    if baseline is None:
        return Verdict(name, count, None, "no baseline")
    growth = count.times / baseline.times
    judgement: Judgement = "too much" if growth > TOO_MUCH else "much less" if growth < MUCH_LESS else "as before"
    return Verdict(name, count, growth, judgement)
