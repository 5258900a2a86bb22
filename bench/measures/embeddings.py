"""Embeddings: how close sizes that are learned come to the best that was fixed by hand.

Short texts over HTTP to a simulated endpoint in a process of its own, which takes 20 ms a request and 0.2 ms a text.
Every run is whole: its journal, its output, its end. Runs of learned and fixed sizes take turns, so that load on the
machine meets all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.figures import Finding, Series, figure
from bench.machine import CLIENT_CORE, pin
from bench.pairs import timed
from bench.scenario import Setting
from bench.serving import serving
from bench.workload import check_report
from streamproc.cli.own_process import run_quickly
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline

RECORDS = 5_000
SIZES = (4, 16, 32, 64, 100, 200, 500)
MAX_SIZE = 500
CONCURRENCY = 8
DIMENSIONS = 256
"""Numbers in an embedding."""


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


def measure(setting: Setting) -> Iterator[Finding]:
    """Run the sweep once, then the best two of it and the learned sizes in turn."""
    records = setting.records(RECORDS)
    source = write_texts(setting.folder / "texts.jsonl", records)
    with serving("embeddings", embedding_dimensions=DIMENSIONS) as base_url:
        pin(CLIENT_CORE)

        def seconds(size: int | None) -> float:
            def run(output: Path) -> None:
                config = job(base_url, source, output / "out.jsonl", size, CONCURRENCY)
                check_report(run_quickly(DataProcessingPipeline(config).run()), records)

            return timed(run).wall

        seconds(None)  # does not count: it imports and warms up
        sweep = {size: seconds(size) for size in SIZES}
        candidates = sorted(sweep, key=lambda size: sweep[size])[:2]
        timings = [(seconds(None), {size: seconds(size) for size in candidates}) for _ in range(setting.pairs)]
    rate = [round(records / sweep[size], 1) for size in SIZES]
    yield Series("embeddings", "texts a second", "fixed sizes", "texts in a request", list(map(float, SIZES)), rate)
    learned = round(records / statistics.median(took for took, _ in timings), 1)
    span = [float(SIZES[0]), float(SIZES[-1])]
    yield Series("embeddings", "texts a second", "learned", "texts in a request", span, [learned] * 2, bound=True)
    medians = {size: statistics.median(fixed[size] for _, fixed in timings) for size in candidates}
    best = min(medians, key=lambda size: medians[size])
    yield figure("sizes that are learned", f"best fixed: {best}", "s", [(fixed[best], took) for took, fixed in timings])
