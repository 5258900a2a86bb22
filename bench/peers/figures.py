"""What the comparison found, for a person and for a file."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct
from rich.table import Table

from bench.peers.contenders import OURS, SCENARIOS, Contender
from bench.peers.process import Run


class Spread(Struct, frozen=True):
    """A median between its extremes."""

    median: float
    lowest: float
    highest: float


class Figure(Struct, frozen=True):
    """A contender in a scenario.

    Attributes:
        scenario: see `SCENARIOS`.
        title: the contender's.
        versions: of its packages.
        rows: in each run.
        rate: rows a second.
        cpu: microseconds of CPU a row.
        asked: calls at the endpoint.
        times: how many times its rate streamproc's is, pair by pair; `None` for streamproc itself.
        goal: how many it should be at least, if that is asked.
        runs: each of its runs.
        ours: streamproc's run beside each.
    """

    scenario: str
    title: str
    versions: dict[str, str]
    rows: int
    rate: Spread
    cpu: Spread
    asked: Spread
    times: Spread | None
    goal: float | None
    runs: list[Run]
    ours: list[Run]


def figure_of(
    contender: Contender, versions: dict[str, str], scenario: str, rows: int, pairs: Sequence[tuple[Run, Run]]
) -> Figure:
    """Sum up pairs of a run of streamproc and one of the contender."""
    ours, runs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Figure(
        scenario=scenario,
        title=contender.title,
        versions=versions,
        rows=rows,
        rate=_spread([rows / run.wall for run in runs]),
        cpu=_spread([1e6 * run.cpu / rows for run in runs]),
        asked=_spread([run.asked for run in runs]),
        times=None if contender is OURS else _spread([run.wall / own.wall for own, run in pairs]),
        goal=contender.goals.get(scenario),
        runs=runs,
        ours=ours,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def table_of(scenario: str, figures: Sequence[Figure]) -> Table:
    """Lay the figures of a scenario out, the fastest first."""
    found = sorted((each for each in figures if each.scenario == scenario), key=lambda each: -each.rate.median)
    title = f"{scenario}: {found[0].rows:,} rows; {SCENARIOS[scenario]}"
    table = Table(title=title, title_justify="left", caption="median (lowest to highest)", caption_justify="left")
    for heading in ("", "version", "rows/s", "CPU us/row", "calls", "streamproc is", "goal"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for f in found:
        rate = f"{f.rate.median:,.0f} ({f.rate.lowest:,.0f} to {f.rate.highest:,.0f})"
        cells = (rate, f"{f.cpu.median:,.0f}", f"{f.asked.median:,.0f}", _times(f), _goal(f))
        table.add_row(f.title, next(iter(f.versions.values())), *cells)
    return table


def _times(figure: Figure) -> str:
    times = figure.times
    return f"{times.median:.2f} x ({times.lowest:.2f} to {times.highest:.2f})" if times else ""


def _goal(figure: Figure) -> str:
    if figure.goal is None or figure.times is None:
        return ""
    colour = "green" if figure.times.median >= figure.goal else "red"
    return f"[{colour}]{figure.goal:g} x[/]"
