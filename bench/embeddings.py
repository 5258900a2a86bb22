"""Embeddings: how close sizes that are learned come to the best that was fixed by hand. `python -m bench.embeddings`.

10,000 short texts over HTTP to a simulated endpoint in a process of its own, which takes 20 ms a request and 0.2 ms a
text. Every run is whole: its journal, its output, its end. Runs of learned and fixed sizes take turns, so that load on
the machine meets all alike. The exit code is 1 if the learned sizes take more than `WANTED` times the best.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.machine import CLIENT_CORE, pin
from bench.pairs import timed
from bench.serving import serving
from bench.workload import check_report
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline

RECORDS = 10_000
SIZES = (1, 4, 16, 32, 64, 100, 200, 500)
MAX_SIZE = 500
CONCURRENCY = 8
PAIRS = 5
WANTED = 1.3


def write_texts(path: Path, records: int) -> Path:
    """Write rows with distinct texts of about 40 characters."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number in range(records):
            file.write(encode({"text": f"item {number}: a kettle that whistles softly"}) + b"\n")
    return path


def job(base_url: str, source: Path, sink: Path, size: int | None, concurrency: int) -> PipelineConfig:
    """Give the job; `size` is fixed, or `None` to have it learned."""
    sizes = {"max_size": MAX_SIZE, "adaptive_sizing": size is None, "initial_size": 10 if size is None else size}
    return PipelineConfig.from_tree(
        {
            "source": {"type": "jsonl", "path": str(source)},
            "llm": {"base_url": base_url, "endpoint": "embeddings", "model": "bench", "prompt": "{{ text }}"},
            "concurrency": {"initial": concurrency, "adaptive": False},
            "batch_processing": sizes,
            "sink": {"type": "jsonl", "path": str(sink)},
        }
    )


def measure(base_url: str, folder: Path, records: int, concurrency: int, pairs: int) -> float:
    """Run the sweep once, then the best of it and the learned sizes in turn; show all.

    Returns:
        How many times as long the learned sizes take: the median over the pairs.
    """
    source = write_texts(folder / "texts.jsonl", records)

    def seconds(size: int | None) -> float:
        def run(output: Path) -> None:
            config = job(base_url, source, output / "out.jsonl", size, concurrency)
            check_report(asyncio.run(DataProcessingPipeline(config).run()), records)

        return timed(run).wall

    seconds(None)  # does not count: it imports and warms up
    sweep = {}
    for size in SIZES:
        sweep[size] = seconds(size)
        print(f"fixed {size:>4}   {sweep[size]:7.3f} s   {records / sweep[size]:8,.0f} texts/s", flush=True)
    candidates = sorted(sweep, key=lambda size: sweep[size])[:2]
    timings = [(seconds(None), {size: seconds(size) for size in candidates}) for _ in range(pairs)]
    medians = {size: statistics.median(fixed[size] for _, fixed in timings) for size in candidates}
    best = min(medians, key=lambda size: medians[size])
    ratios = [learned / fixed[best] for learned, fixed in timings]
    learned = statistics.median(learned for learned, _ in timings)
    ratio = statistics.median(ratios)
    print(f"best: fixed {best}   {medians[best]:7.3f} s   {records / medians[best]:8,.0f} texts/s (median of {pairs})")
    print(f"learned      {learned:7.3f} s   {records / learned:8,.0f} texts/s (median of {pairs})")
    print(f"learned / best: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}), wanted <= {WANTED}")
    return ratio


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.embeddings", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--dimensions", type=int, default=256, help="numbers in an embedding")
    options = parser.parse_args()
    endpoint = serving("embeddings", embedding_dimensions=options.dimensions)
    with endpoint as base_url, tempfile.TemporaryDirectory(prefix="bench-") as name:
        pin(CLIENT_CORE)
        ratio = measure(base_url, Path(name), options.records, options.concurrency, options.pairs)
    return 0 if ratio <= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
