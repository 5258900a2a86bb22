"""What a scenario finds: figures, each of pairs taken in turn, and series for plots."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Pair = tuple[float, float]
"""A quantity of the reference and the same of ours, taken one after the other."""
Relation = Literal["ratio", "difference", "ours"]
"""What is judged in a pair: ours over the reference's, ours less the reference's, or ours alone."""


class Goal(Struct, frozen=True):
    """A bound that a median is to keep.

    Attributes:
        side: on which the bound is good.
        bound: in the figure's unit.
    """

    side: Literal["least", "most"]
    bound: float

    def met(self, median: float) -> bool:
        """Tell whether it is kept."""
        return median >= self.bound if self.side == "least" else median <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.side == 'least' else '<='} {self.bound:,g}"


class Figure(Struct, frozen=True, tag=True):
    """One quantity, ours beside a reference's.

    Attributes:
        name: what it is.
        against: what the reference is.
        unit: of both sides.
        relation: what is judged.
        pairs: the reference's and ours, as they were taken.
        median: of the relation over the pairs.
        lowest: of the relation.
        highest: of the relation.
        goal: for the median, if there is one.
    """

    name: str
    against: str
    unit: str
    relation: Relation
    pairs: list[Pair]
    median: float
    lowest: float
    highest: float
    goal: Goal | None = None

    @property
    def good(self) -> bool:
        """Whether nothing better was asked for."""
        return self.goal is None or self.goal.met(self.median)

    @property
    def reference(self) -> float:
        """The reference's median."""
        return statistics.median(reference for reference, _ in self.pairs)

    @property
    def ours(self) -> float:
        """Our median."""
        return statistics.median(ours for _, ours in self.pairs)


class Series(Struct, frozen=True, tag=True):
    """A line of a plot.

    Attributes:
        plot: the picture it is in.
        panel: its place there, by title.
        label: what it is.
        x_label: with the unit.
        x: from left to right.
        y: of each.
        bound: whether it is a line to stay below or to reach, in place of something measured.
    """

    plot: str
    panel: str
    label: str
    x_label: str
    x: list[float]
    y: list[float]
    bound: bool = False


Finding = Figure | Series


def at_least(bound: float) -> Goal:
    """Ask for no less."""
    return Goal("least", bound)


def at_most(bound: float) -> Goal:
    """Ask for no more."""
    return Goal("most", bound)


def figure(name: str, against: str, unit: str, pairs: Sequence[Pair], relation: Relation = "ratio") -> Figure:
    """Make the figure of some pairs."""
    values = [_related(relation, reference, ours) for reference, ours in pairs]
    return Figure(name, against, unit, relation, list(pairs), statistics.median(values), min(values), max(values))


def _related(relation: Relation, reference: float, ours: float) -> float:
    if relation == "ratio":
        return ours / reference
    return ours - reference if relation == "difference" else ours
