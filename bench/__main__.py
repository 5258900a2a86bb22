"""Measure scenarios, show the figures, and write them down with plots in `bench/results/`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from bench.figures import Figure, Finding
from bench.machine import describe
from bench.pairs import PAIRS
from bench.plots import draw
from bench.results import RESULTS, Result, newest, read, stem_of, write
from bench.runner import INTERRUPTED, Outcome, measured
from bench.scenario import Scenario, Setting
from bench.scenarios import SCENARIOS
from bench.show import cells, facts, markdown_of, table_of, verdict

MINUTES, QUICK_MINUTES = 15.0, 2.0
QUICK_SCALE = 0.1
FAILED, USAGE, INTERRUPT = 1, 2, 130
WIDTH = 150


def main(arguments: Sequence[str] | None = None, scenarios: Sequence[Scenario] = SCENARIOS) -> int:
    """Do what the command line says, and give the exit code: 1 where a scenario failed, 130 after Ctrl-C."""
    options = _parser(scenarios).parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    if options.list:
        for scenario in scenarios:
            console.print(f"{scenario.name:13} {scenario.what}", highlight=False)
        return 0
    if options.markdown is not None:
        return _show_markdown(
            (options.markdown if options.markdown != Path() else None) or newest(options.results), options.results
        )
    known = {scenario.name: scenario for scenario in scenarios}
    unknown = [name for name in options.scenarios if name not in known]
    if unknown:
        print(f"bench: {', '.join(unknown)}: no such scenario; there are {', '.join(known)}", file=sys.stderr)
        return USAGE
    chosen = [known[name] for name in dict.fromkeys(options.scenarios)] or [one for one in scenarios if one.default]
    return _measure(chosen, options, console)


def _measure(chosen: Sequence[Scenario], options: argparse.Namespace, console: Console) -> int:
    at, until = (
        datetime.now(UTC),
        time.monotonic() + 60 * (options.minutes or (QUICK_MINUTES if options.quick else MINUTES)),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # the command's own would end it before anything is written
    machine = describe()
    console.print(facts(machine), highlight=False)
    path = options.results / (stem_of(at, options.quick, options.scenarios) + ".json")
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="streamproc-bench-") as folder:
        scale = QUICK_SCALE if options.quick else 1.0
        setting = Setting(Path(folder), scale, options.pairs, tuple(path.resolve() for path in options.trace))
        for scenario in chosen:
            console.print(f"[bold]{scenario.name}[/]: {escape(scenario.what)}", highlight=False)
            outcome = measured(scenario, setting, until - time.monotonic(), lambda finding: _tell(finding, console))
            outcomes.append(outcome)
            write(Result(at, options.quick, machine, outcomes), path)
            if outcome.error is not None:
                console.print(f"  [red]not measured to its end: {escape(outcome.error)}[/]", highlight=False)
            if outcome.error == INTERRUPTED:
                break
    console.print(table_of(outcomes, options.quick))
    console.print(verdict(outcomes), highlight=False)
    written = [path, *draw(outcomes, path.with_suffix(""))]
    console.print("written:", *map(str, written), highlight=False, soft_wrap=True)
    if outcomes[-1].error == INTERRUPTED:
        return INTERRUPT
    return FAILED if any(outcome.error is not None for outcome in outcomes) else 0


def _tell(finding: Finding, console: Console) -> None:
    if isinstance(finding, Figure):
        name, median, wanted, *_ = cells(finding)
        console.print(f"  {name}: {median}{f', wanted {wanted}' if wanted else ''}", highlight=False, markup=False)


def _show_markdown(path: Path | None, folder: Path) -> int:
    if path is None:
        print(f"bench: no result of a whole run in {folder}; run `make bench`", file=sys.stderr)
        return USAGE
    try:
        print(markdown_of(read(path)))
    except (OSError, msgspec.DecodeError) as error:  # a ValidationError is one, too
        print(f"bench: {path}: is no result: {error}", file=sys.stderr)
        return USAGE
    return 0


def _parser(scenarios: Sequence[Scenario]) -> argparse.ArgumentParser:
    left_out = ", ".join(scenario.name for scenario in scenarios if not scenario.default)
    parser = argparse.ArgumentParser(prog="streamproc bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"all if none is named, but {left_out}")
    parser.add_argument("--list", action="store_true", help="show the scenarios, and measure nothing")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, in two minutes at most")
    parser.add_argument(
        "--minutes", type=float, help=f"for all together; {MINUTES:g}, or {QUICK_MINUTES:g} with --quick"
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help="taken of each figure")
    parser.add_argument("--trace", type=Path, action="append", default=[], metavar="FILE", help="policies: requests")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where files are written")
    parser.add_argument(
        "--markdown",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE",
        help="show a result, else the newest whole one",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
