"""Score controllers of concurrency on simulated endpoints, beside the best limit that never moves."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from bench.control.contenders import CONTROLLERS
from bench.control.figures import Verdict, score
from bench.control.oracle import HARD_MAXIMUM, oracle_of
from bench.control.play import play
from bench.control.scenarios import HELD_OUT_SEEDS, SCENARIOS, TUNING_SEEDS, scenario_of

T = TypeVar("T")
R = TypeVar("R")


def judge(job: tuple[str, int, str]) -> Verdict:
    """Play one scenario and seed under one controller, and put the run beside the oracle's."""
    name, seed, controller = job
    scenario = scenario_of(name, seed)
    oracle = oracle_of(scenario)
    run = play(scenario, CONTROLLERS[controller](HARD_MAXIMUM))
    share = run.goodput / oracle.best.goodput
    p99_ratio = run.p99 / oracle.best.p99 if run.p99 else float("inf")
    t90 = run.t90(oracle.best.goodput)
    return Verdict(
        scenario=name,
        seed=seed,
        controller=controller,
        share=share,
        p99_ratio=p99_ratio,
        waste=run.waste,
        t90=t90,
        travel=run.travel,
        score=score(share, p99_ratio, run.waste, t90 / scenario.seconds),
        limit_at_end=run.limit_at_end,
        cpu_seconds=run.cpu_seconds,
        segment_share=run.goodput / oracle.segment_goodput if oracle.segment_goodput else 0.0,
    )


def prepare(job: tuple[str, int]) -> str:
    """Have a scenario's oracle in the cache; give a line about it."""
    scenario = scenario_of(*job)
    oracle = oracle_of(scenario)
    best = oracle.best
    pace = f" paced at {best.pace:.0%}" if best.pace else ""
    segments = ""
    if oracle.segment_goodput is not None:
        segments = f"; per segment {oracle.segment_goodput:.0f} tokens/s, p99 {oracle.segment_p99:.1f} s"
    return f"{job[0]} {job[1]}: limit {best.limit}{pace}, {best.goodput:.0f} tokens/s, p99 {best.p99:.1f} s{segments}"


def table_by_scenario(verdicts: Sequence[Verdict], controllers: Sequence[str]) -> Table:
    """Lay the figures out by scenario, each the mean over its seeds."""
    table = Table(title="means over seeds; goodput and p99 relative to the best fixed limit")
    headings = ("scenario", "controller", "goodput", "min", "p99", "waste", "t90", "travel", "ends at", "segments", "S")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right", no_wrap=True)
    for scenario in dict.fromkeys(v.scenario for v in verdicts):
        for controller in controllers:
            rows = [v for v in verdicts if v.scenario == scenario and v.controller == controller]
            segment = fmean(v.segment_share for v in rows)
            table.add_row(
                scenario,
                controller,
                f"{fmean(v.share for v in rows):.1%}",
                f"{min(v.share for v in rows):.1%}",
                f"x{fmean(v.p99_ratio for v in rows):.2f}",
                f"{fmean(v.waste for v in rows):.1%}",
                f"{fmean(v.t90 for v in rows):.0f} s",
                f"{fmean(v.travel for v in rows):.1f}",
                "/".join(str(v.limit_at_end) for v in rows),
                f"{segment:.1%}" if segment else "",
                f"{fmean(v.score for v in rows):.1f}",
            )
        table.add_section()
    return table


def table_of_all(verdicts: Sequence[Verdict], controllers: Sequence[str], title: str) -> Table:
    """Lay out the means over scenarios, and the worst scenario's mean over its seeds."""
    table = Table(title=title)
    headings = ("controller", "S", "worst S", "goodput", "worst", "p99", "worst", "waste", "travel", "CPU s/run")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "controller" else "right", no_wrap=True)
    for controller in controllers:
        rows = [v for v in verdicts if v.controller == controller]

        def by_scenario(figure: Callable[[Verdict], float], rows: Sequence[Verdict] = rows) -> list[float]:
            names = dict.fromkeys(v.scenario for v in rows)
            return [fmean(figure(v) for v in rows if v.scenario == name) for name in names]

        scores, shares, p99s = (
            by_scenario(lambda v: v.score),
            by_scenario(lambda v: v.share),
            by_scenario(lambda v: v.p99_ratio),
        )
        table.add_row(
            controller,
            f"{fmean(scores):.2f}",
            f"{min(scores):.1f}",
            f"{fmean(shares):.1%}",
            f"{min(shares):.1%}",
            f"x{fmean(p99s):.2f}",
            f"x{max(p99s):.2f}",
            f"{fmean(by_scenario(lambda v: v.waste)):.1%}",
            f"{fmean(by_scenario(lambda v: v.travel)):.1f}",
            f"{fmean(v.cpu_seconds for v in rows):.2f}",
        )
    return table


def seeds_of(text: str) -> dict[str, list[int]]:
    """Read `tuning`, `held-out`, `both` or numbers with commas; give the seeds of each set."""
    sets = {"tuning": list(TUNING_SEEDS), "held-out": list(HELD_OUT_SEEDS)}
    if text == "both":
        return sets
    return {text: sets[text] if text in sets else [int(number) for number in text.split(",")]}


def _spread(work: Callable[[T], R], jobs: Iterable[T], processes: int) -> list[R]:
    if processes == 1:
        return [work(job) for job in jobs]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(work, jobs))


def _names(text: str, known: Iterable[str]) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument("--controllers", default=",".join(CONTROLLERS), help="names with commas; all if left out")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="names with commas; all if left out")
    parser.add_argument("--seeds", default="tuning", help="tuning, held-out, both, or numbers with commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="write every run's verdict to this file")
    parser.add_argument("--summary", action="store_true", help="leave the table by scenario out")
    parser.add_argument("--oracles", action="store_true", help="show what each oracle chose")
    options = parser.parse_args()
    controllers = _names(options.controllers, CONTROLLERS)
    scenarios = _names(options.scenarios, SCENARIOS)
    console = Console()
    if not console.is_terminal:
        console.width = 140
    everything: dict[str, list[Verdict]] = {}
    started = time.perf_counter()
    for set_name, seeds in seeds_of(options.seeds).items():
        lines = _spread(prepare, [(name, seed) for name in scenarios for seed in seeds], options.jobs)
        if options.oracles:
            console.print("\n".join(lines), highlight=False)
        jobs = [(name, seed, controller) for name in scenarios for seed in seeds for controller in controllers]
        verdicts = everything[set_name] = _spread(judge, jobs, options.jobs)
        if not options.summary:
            console.print(table_by_scenario(verdicts, controllers))
        console.print(table_of_all(verdicts, controllers, f"over scenarios, seeds: {set_name}"))
    console.print(f"{time.perf_counter() - started:.1f} s")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=2) + b"\n")


if __name__ == "__main__":
    main()
