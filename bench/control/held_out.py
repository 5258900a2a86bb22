"""The search for concurrency against the best limit that never moves, on endpoints that nothing was tuned on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean

from msgspec import Struct

from bench.control.figures import WINDOW_SECONDS, Figures
from bench.control.oracle import HARD_MAXIMUM, fixed_at, oracle_of
from bench.control.ours import Streamproc
from bench.control.play import play
from bench.control.scenarios import HELD_OUT_SEEDS, SCENARIOS, scenario_of
from bench.figures import Finding, Series, figure
from bench.scenario import Setting

PROCESSES = 2
PLOT = "control"
AGAINST = "best fixed limit"


class Duel(Struct, frozen=True):
    """One endpoint, played under the best fixed limit and under the search.

    Attributes:
        limit: the best fixed one.
        best: what it brought.
        ours: what the search brought.
    """

    limit: int
    best: Figures
    ours: Figures


def duel(job: tuple[str, int]) -> Duel:
    """Play one kind and seed."""
    scenario = scenario_of(*job)
    best = oracle_of(scenario).best
    fixed = play(scenario, fixed_at(scenario, best.limit, best.pace))
    return Duel(best.limit, fixed, play(scenario, Streamproc(HARD_MAXIMUM)))


def measure(setting: Setting) -> Iterator[Finding]:
    """Play every kind of endpoint; a pair is the mean of a kind over its seeds. Nothing is pinned: time is virtual."""
    seeds = HELD_OUT_SEEDS[: max(1, round(setting.scale * len(HELD_OUT_SEEDS)))]
    jobs = [(name, seed) for name in SCENARIOS for seed in seeds]
    with ProcessPoolExecutor(PROCESSES) as pool:
        duels = dict(zip(jobs, pool.map(duel, jobs), strict=True))
    kinds = {name: [duels[name, seed] for seed in seeds] for name in SCENARIOS}
    for name, played in kinds.items():
        yield from _lines(name, played[0])
    goodput = [
        (fmean(one.best.goodput for one in played), fmean(one.ours.goodput for one in played))
        for played in kinds.values()
    ]
    yield figure(f"goodput, {len(kinds)} kinds of endpoint", AGAINST, "tokens/s", goodput)
    name, played = min(kinds.items(), key=lambda kind: fmean(one.ours.goodput / one.best.goodput for one in kind[1]))
    worst = [(one.best.goodput, one.ours.goodput) for one in played]
    yield figure(f"goodput, worst kind ({name})", AGAINST, "tokens/s", worst)
    slowest = [
        (fmean(one.best.p99 for one in played), fmean(one.ours.p99 for one in played)) for played in kinds.values()
    ]
    yield figure("99th percentile of latency", AGAINST, "s", slowest)


def _lines(name: str, played: Duel) -> Iterator[Series]:
    for label, run in (("best fixed limit", played.best), ("streamproc", played.ours)):
        by_second = run.tokens_by_second
        ends = range(WINDOW_SECONDS, len(by_second) + 1, WINDOW_SECONDS // 3)
        means = [round(sum(by_second[end - WINDOW_SECONDS : end]) / WINDOW_SECONDS, 1) for end in ends]
        yield Series(PLOT, name, label, "seconds", list(map(float, ends)), means, bound=run is played.best)
