"""Pictures of figures: throughput beside its ceilings, and whatever series scenarios give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import EngFormatter, PercentFormatter

from bench.figures import Series
from bench.runner import Outcome
from bench.show import number

OURS, CEILING, GOAL = "#2a6f97", "#d9dee3", "#c1121f"
TEXT = "#4a545e"
WIDEST = 1.5
"""Beyond this share of a ceiling a spread is cut off."""
TITLES = {
    "control": "control: text tokens a second, means of 30 seconds",
    "embeddings": "embeddings: texts a second by the size of batches",
    "memory": "memory and cost as records go by",
}
PALETTE = ("#2a6f97", "#468faf", "#61a5c2", "#89c2d9", "#a9d6e5")
STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a949e",
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
    "savefig.dpi": 130,
}


def draw(outcomes: Sequence[Outcome], stem: Path) -> list[Path]:
    """Draw what there is to draw of some outcomes.

    Args:
        outcomes: what was measured.
        stem: the files' names begin with this.

    Returns:
        The files.
    """
    with mpl.rc_context(STYLE):
        pictures = {"throughput": _throughput(outcomes), **_series(outcomes)}
        paths = []
        for name, picture in pictures.items():
            if picture is not None:
                path = stem.with_name(f"{stem.name}-{name}.png")
                picture.savefig(path)
                paths.append(path)
    return paths


def _throughput(outcomes: Sequence[Outcome]) -> Picture | None:
    rows = [
        (f"{outcome.scenario}: {figure.name}", figure)
        for outcome in outcomes
        for figure in outcome.figures
        if figure.relation == "ratio" and figure.unit == "/s" and figure.highest <= 2
    ]
    if not rows:
        return None
    picture = Picture(figsize=(10.0, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = picture.add_subplot()
    places = range(len(rows))
    axes.barh(places, [1.0] * len(rows), height=0.72, color=CEILING, label="the ceiling")
    axes.barh(places, [figure.median for _, figure in rows], height=0.44, color=OURS, label="ours, median")
    for place, (_, figure) in zip(places, rows, strict=True):
        spread = axes.plot([figure.lowest, figure.highest], [place, place], color="black", linewidth=1.0)
        if figure.goal is not None:
            wanted = axes.plot([figure.goal.bound] * 2, [place - 0.36, place + 0.36], color=GOAL, linewidth=2.0)
            wanted[0].set_label("wanted")
        said = f"{number(figure.ours)} of {number(figure.reference, '/s')}, {figure.against}"
        axes.text(1.02, place, said, va="center", color=TEXT, transform=axes.get_yaxis_transform())
    spread[0].set_label("lowest to highest pair")
    axes.set_yticks(places, [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, min(WIDEST, max(1.0, *(figure.highest for _, figure in rows))))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    picture.suptitle("throughput beside its ceilings", x=0.01, ha="left", fontweight="bold")
    picture.legend(once.values(), list(once), loc="outside upper right", ncols=len(once))
    return picture


def _series(outcomes: Sequence[Outcome]) -> dict[str, Picture]:
    series = [finding for outcome in outcomes for finding in outcome.findings if isinstance(finding, Series)]
    plots = dict.fromkeys(one.plot for one in series)
    return {plot: _panels(plot, [one for one in series if one.plot == plot]) for plot in plots}


def _panels(plot: str, series: Sequence[Series]) -> Picture:
    titles = list(dict.fromkeys(one.panel for one in series))
    columns = min(4, len(titles)) if len(titles) > 3 else len(titles)
    lines = math.ceil(len(titles) / columns)
    width = 3.1 if columns > 2 else 5.2
    picture = Picture(figsize=(width * columns, (2.1 if columns > 2 else 3.4) * lines + 0.4), layout="constrained")
    handles: dict[str, Artist] = {}
    for place, title in enumerate(titles, start=1):
        axes = picture.add_subplot(lines, columns, place)
        inside = [one for one in series if one.panel == title]
        for one, colour in zip(inside, _colours(inside), strict=True):
            style = "--" if one.bound else "-"
            (handles[one.label],) = axes.plot(one.x, one.y, style, color=colour, linewidth=1.4, label=one.label)
        _finish(axes, title, inside, last_line=place > len(titles) - columns)
    picture.legend(handles.values(), list(handles), loc="outside lower right", ncols=min(8, len(handles)))
    picture.suptitle(TITLES.get(plot, plot), x=0.01, ha="left", fontweight="bold")
    return picture


def _colours(series: Sequence[Series]) -> Iterator[str]:
    measured = [one for one in series if not one.bound]
    for one in series:
        yield GOAL if one.bound else PALETTE[measured.index(one) % len(PALETTE)]


def _finish(axes: Axes, title: str, series: Sequence[Series], *, last_line: bool) -> None:
    axes.set_title(title)
    axes.set_ylim(bottom=0, top=1.1 * max(max(one.y) for one in series))
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", color="#e9ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    if last_line:
        axes.set_xlabel(series[0].x_label)
