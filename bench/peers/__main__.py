"""Do the same work through streamproc and its peers in turn; show the ratios, and keep them in `bench/results/`.

Each contender is a process that is pinned to one core, with the endpoint on another where there are two. The rounds
alternate: streamproc runs beside each peer, and who is first changes from round to round. Starting and importing do not
count, nor does a first short round.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from bench.machine import CLIENT_CORE, Machine, describe, pin
from bench.peers.contenders import OURS, PEERS, SCENARIOS, Contender
from bench.peers.counting import counting_endpoint
from bench.peers.environments import ROOT, python_of
from bench.peers.figures import Figure, figure_of, table_of
from bench.peers.process import Process, Run, started
from bench.peers.work import write_rows

PAIRS = 5
ROWS = {"miss": 1_500, "repeated": 5_000}
DISTINCT = 50
"""Prompts, where they repeat."""
WARM_UP = 200
"""Rows of the round that does not count."""


def measure(contenders: list[Contender], pairs: int, rows: dict[str, int], console: Console) -> list[Figure]:
    """Run every scenario with those of the contenders that take part in it."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(counting_endpoint())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamproc-peers-")))
        pin(CLIENT_CORE)
        ours = stack.enter_context(started(OURS, endpoint))
        processes = [(peer, stack.enter_context(started(peer, endpoint))) for peer in contenders]
        figures = []
        for scenario, count in rows.items():
            cached = scenario == "repeated"
            distinct = DISTINCT if cached else count
            short = write_rows(folder / "short.jsonl", WARM_UP, min(distinct, WARM_UP))
            source = write_rows(folder / f"{scenario}.jsonl", count, distinct)
            taking_part = [(peer, process) for peer, process in processes if scenario in peer.scenarios]
            for process in (ours, *(process for _, process in taking_part)):
                process.run(short, WARM_UP, cached)
            found: dict[str, list[tuple[Run, Run]]] = {peer.title: [] for peer, _ in taking_part}
            for number in range(pairs):
                console.print(f"{scenario}: round {number + 1} of {pairs}")
                for peer, process in taking_part:
                    found[peer.title].append(_pair(ours, process, source, count, cached, ours_first=number % 2 == 0))
            own = [(run, run) for each in found.values() for run, _ in each]
            figures.append(figure_of(OURS, ours.versions, scenario, count, own))
            for peer, process in taking_part:
                figures.append(figure_of(peer, process.versions, scenario, count, found[peer.title]))
        return figures


def _pair(ours: Process, peer: Process, source: Path, rows: int, cached: bool, ours_first: bool) -> tuple[Run, Run]:
    if ours_first:
        own = ours.run(source, rows, cached)
        return own, peer.run(source, rows, cached)
    run = peer.run(source, rows, cached)
    return ours.run(source, rows, cached), run


def write_down(machine: Machine, figures: list[Figure]) -> Path:
    """Keep the figures with what they depend on."""
    now = datetime.now(UTC)
    path = ROOT / "bench" / "results" / f"{now:%Y-%m-%d}-peers.json"
    path.parent.mkdir(exist_ok=True)
    result = {"at": now.isoformat(timespec="seconds"), "machine": machine, "figures": figures}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def main() -> None:
    """Measure all of it, or what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    names = sorted({peer.environment or peer.module for peer in PEERS})
    parser.add_argument("--peer", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="rounds")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number of rows")
    parser.add_argument("--no-result", action="store_true", help="show the figures, write no file")
    options = parser.parse_args()
    chosen = [peer for peer in PEERS if not options.peer or (peer.environment or peer.module) in options.peer]
    rows = {name: round(ROWS[name] * options.scale) for name in options.scenario or ROWS}
    machine = describe()
    for name in sorted({peer.environment for peer in chosen if peer.environment}):
        python_of(name)
    console = Console()
    if not console.is_terminal:
        console.width = 120
    figures = measure(chosen, options.pairs, rows, console)
    for name in rows:
        console.print(table_of(name, figures))
    if not options.no_result:
        console.print(f"written to {write_down(machine, figures)}")


if __name__ == "__main__":
    main()
