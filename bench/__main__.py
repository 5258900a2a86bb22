"""Measure every scenario, show the ratios, and write them down in `bench/results/`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import hit_path, lru_get, miss_path
from bench.endpoint import running_endpoint
from bench.machine import CLIENT_CORE, Machine, describe, pin
from bench.pairs import Figure

RESULTS = Path(__file__).parent / "results"


def table_of(figures: Sequence[Figure]) -> Table:
    """Lay the figures out for a person."""
    table = Table(title="streamproc against a loop written by hand", caption="ratio: median of pairs (worst to best)")
    for heading in ("scenario", "ratio", "wanted", "records/s", "by hand", "CPU us/record", "by hand"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right", no_wrap=True)
    for f in figures:
        verdict = "green" if f.ratio >= f.wanted else "red"
        ratio = f"[{verdict}]{f.ratio:.3f}[/] ({f.lowest:.3f} to {f.highest:.3f})"
        rates = (f"{f.rate:,.0f}", f"{f.reference_rate:,.0f}", f"{f.cpu:.1f}", f"{f.reference_cpu:.1f}")
        table.add_row(f.name, ratio, f">= {f.wanted:g}", *rates)
    return table


def write_down(machine: Machine, figures: Sequence[Figure]) -> Path:
    """Keep the figures with what they depend on."""
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}.json"
    result = {"at": now.isoformat(timespec="seconds"), "machine": machine, "figures": figures}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def main() -> None:
    """Run the scenarios named on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=["miss", "hit", "get", []], help="all if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the usual number of records")
    parser.add_argument("--no-result", action="store_true", help="show the figures, write no file")
    options = parser.parse_args()
    wanted = options.scenarios or ["miss", "hit", "get"]
    machine = describe()
    figures: list[Figure] = []
    with running_endpoint() as base_url, tempfile.TemporaryDirectory(prefix="streamproc-bench-") as name:
        pin(CLIENT_CORE)
        if "miss" in wanted:
            figures.append(miss_path.measure(base_url, Path(name), options.scale))
            figures.append(miss_path.measure(base_url, Path(name), options.scale, cache="memory"))
        if "hit" in wanted:
            figures.append(hit_path.measure(Path(name), options.scale))
        if "get" in wanted:
            figures.extend(lru_get.measure(options.scale))
    console = Console()
    if not console.is_terminal:
        console.width = 120
    console.print(table_of(figures))
    if not options.no_result:
        console.print(f"written to {write_down(machine, figures)}")


if __name__ == "__main__":
    main()
