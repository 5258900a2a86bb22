"""Figures for people: a table for a terminal, and the same in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from bench.figures import Figure
from bench.machine import Machine
from bench.results import Result
from bench.runner import Outcome

HEADINGS = ("what", "median (lowest to highest)", "wanted", "ours", "reference", "reference is")


def number(value: float, unit: str = "") -> str:
    """Write a number with its unit, as exact as it is worth."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return text + (unit if unit.startswith("/") else f" {unit}" if unit else "")


def cells(figure: Figure) -> tuple[str, ...]:
    """Give a figure's row. What is no ratio has its unit; a difference has its sign."""
    unit = "" if figure.relation == "ratio" else figure.unit
    sign = "+" if figure.relation == "difference" and figure.median >= 0 else ""
    spread = f"{number(figure.lowest)} to {number(figure.highest)}"
    return (
        figure.name,
        f"{sign}{number(figure.median, unit)} ({spread})",
        str(figure.goal or ""),
        number(figure.ours, figure.unit),
        number(figure.reference, figure.unit),
        figure.against,
    )


def table_of(outcomes: Sequence[Outcome], quick: bool) -> Table:
    """Lay everything out for a terminal; green keeps what is wanted, red does not."""
    table = Table(title="streamproc beside what it is measured against")
    if quick:
        table.caption = "quick: a tenth of the work, so what happens once in a run weighs ten times as much"
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in (HEADINGS[0], HEADINGS[-1]) else "right", no_wrap=True)
    for outcome in outcomes:
        table.add_row(f"[bold]{outcome.scenario}[/]", f"[dim]{outcome.seconds:.0f} s[/]")
        for figure in outcome.figures:
            name, median, wanted, *rest = map(escape, cells(figure))
            colour = "default" if figure.goal is None else "green" if figure.good else "red"
            table.add_row(f"  {name}", f"[{colour}]{median}[/]", wanted, *rest)
        if outcome.error is not None:
            table.add_row("  [red]not measured to its end[/]", f"[red]{escape(outcome.error[:60])}[/]")
        table.add_section()
    return table


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Say in a line what came of it."""
    judged = [figure for outcome in outcomes for figure in outcome.figures if figure.goal is not None]
    failed = [outcome.scenario for outcome in outcomes if outcome.error is not None]
    words = f"{sum(figure.good for figure in judged)} of {len(judged)} goals met"
    return words + (f"; not measured to their end: {', '.join(failed)}" if failed else "")


def facts(machine: Machine) -> str:
    """Say in a line what figures depend on."""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    place = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.disk}"
    commit = machine.commit[:12] + "+" * machine.commit.endswith("+")
    return f"{place}, load {machine.load:g} at the start; {machine.python}; {packages}; commit {commit}"


def markdown_of(result: Result) -> str:
    """Give the tables as they stand in a document."""
    lines = [f"{result.at:%Y-%m-%d}{', quick' if result.quick else ''}. {facts(result.machine)}.", ""]
    lines += ["| " + " | ".join(("scenario", *HEADINGS)) + " |", "|" + "---|" * (1 + len(HEADINGS))]
    for outcome in result.outcomes:
        for figure in outcome.figures:
            mark = "" if figure.good else " **missed**"
            what, median, wanted, *rest = cells(figure)
            lines.append("| " + " | ".join([outcome.scenario, what, median, wanted + mark, *rest]) + " |")
        if outcome.error is not None:
            lines.append(
                f"| {outcome.scenario} | not measured to its end: {outcome.error} |" + " |" * (len(HEADINGS) - 1)
            )
    return "\n".join(lines)
