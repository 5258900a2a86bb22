"""What a scenario is, and how much it is to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from bench.figures import Finding, Goal
from bench.pairs import PAIRS


class Setting(Struct, frozen=True):
    """What whoever starts the scenarios chooses.

    Attributes:
        folder: for files; empty at the start of a scenario, and removed after it.
        scale: so many times the usual number of records.
        pairs: taken of each figure.
        traces: files with the requests of real caches, to be played beside the made ones.
    """

    folder: Path
    scale: float = 1.0
    pairs: int = PAIRS
    traces: tuple[Path, ...] = ()

    def records(self, usual: int) -> int:
        """Give how many are to be done where `usual` is usual."""
        return max(1, round(usual * self.scale))


Measure = Callable[[Setting], Iterator[Finding]]
"""Finds figures one by one, so that what is found is kept should it end early."""


class Scenario(Struct, frozen=True):
    """A row of the table.

    Attributes:
        name: what it is asked for by.
        what: it measures, in a sentence.
        measure: does so, in a process of its own.
        goals: by the name of the figure.
        default: whether it is run where none is named.
    """

    name: str
    what: str
    measure: Measure
    goals: Mapping[str, Goal] = MappingProxyType({})
    default: bool = True
