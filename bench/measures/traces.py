"""Play recorded requests of real caches through ours, and compare with what others counted on the same requests.

    python -m bench.measures.traces --cloud-physics cloudPhysicsIO.oracleGeneral.bin.xz --corda trace_vaultservice.gz

The files are from the repositories 1a1a11a/libCacheSim (`data`) and ben-manes/caffeine (corda). Ends with 1 if a figure
differs.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from streamproc.cache.bounded import BoundedCache
from streamproc.cache.eviction.policies import PolicyName, make_policy

MIB = 2**20
CLOUD_PHYSICS_BYTES = [step * 128 * MIB for step in range(1, 9)]
# libCacheSim's unit tests assert these counts of misses (test/test_evictionAlgo.c, commit aa0fc40). The S3-FIFO is
# that of the paper; later versions call it S3-FIFOv0.
CLOUD_PHYSICS_MISSES: dict[PolicyName, list[int]] = {
    "lru": [93374, 89783, 83572, 81722, 72494, 72104, 71972, 71704],
    "s3fifo": [89307, 82387, 77041, 76791, 71300, 70343, 70455, 70355],
    "gdsf": [89068, 84750, 74853, 70488, 67919, 64180, 61029, 58721],
}
CORDA_ENTRIES = 512
# A third of the requests can be hits, and LRU has them all. So have S3-FIFO and LFUDA: GDSF for equal sizes.
# Measured with simulators that reproduce libCacheSim's counts.
CORDA_HIT_RATIO: dict[PolicyName, float] = {"lru": 0.3333, "s3fifo": 0.3333, "gdsf": 0.3333}
LIBCACHESIM_COST = 1e6
"""What GDSF takes a value to cost there. In exact arithmetic any cost gives the same order; rounding decides ties."""

Request = tuple[int, int]
"""A key and the size of its value."""


class Row(Struct, frozen=True):
    """One policy at one size.

    Attributes:
        trace: which requests.
        policy: who chose.
        bound: most bytes, or entries where every size is 1, as text.
        misses: counted here.
        hit_ratio: hits per request.
        expected: the figure of others, as text.
        agrees: whether ours is the same.
    """

    trace: str
    policy: PolicyName
    bound: str
    misses: int
    hit_ratio: float
    expected: str
    agrees: bool


def read_cloud_physics(path: Path) -> list[Request]:
    """Read records of time, key, size and time of next use, packed little-endian."""
    with lzma.open(path) as file:
        return [(key, size) for _, key, size, _ in struct.iter_unpack("<IQIq", file.read())]


def read_corda(path: Path) -> list[Request]:
    """Read keys, big-endian; each has size 1."""
    with gzip.open(path) as file:
        return [(key, 1) for (key,) in struct.iter_unpack(">q", file.read())]


def read(path: Path) -> list[Request]:
    """Read a trace: libCacheSim's `.oracleGeneral.bin.xz`, Corda's `.gz`, or text with a key and perhaps a size a line.

    The text's columns are separated by commas or spaces; keys may be anything.
    """
    if path.name.endswith(".bin.xz"):
        return read_cloud_physics(path)
    if path.suffix == ".gz":
        return read_corda(path)
    numbers: dict[str, int] = {}
    rows = (line.replace(",", " ").split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [(numbers.setdefault(key, len(numbers)), int(size[0]) if size else 1) for key, *size in rows]


def play(requests: Iterable[Request], policy: PolicyName, max_bytes: int) -> tuple[int, float]:
    """Look every key up, and set what is missing; give misses and hit ratio."""
    cache: BoundedCache[int, int] = BoundedCache(make_policy(policy, max_bytes), max_bytes=max_bytes, size_of=int)
    for key, size in requests:
        if cache.get(key) is None:
            cache.set(key, size, cost=LIBCACHESIM_COST)
    metrics = cache.metrics()
    return metrics.misses, metrics.hit_ratio


def cloud_physics(path: Path) -> Iterable[Row]:
    """Count misses at eight sizes; they must be the same to the last one."""
    requests = read_cloud_physics(path)
    for policy, expected in CLOUD_PHYSICS_MISSES.items():
        for bound, count in zip(CLOUD_PHYSICS_BYTES, expected, strict=True):
            misses, ratio = play(requests, policy, bound)
            yield Row("cloudPhysics", policy, f"{bound // MIB:,} MiB", misses, ratio, f"{count:,}", misses == count)


def corda(path: Path) -> Iterable[Row]:
    """Measure the hit ratio of a cache of 512 entries; it must be the same to a hundredth of a percent."""
    requests = read_corda(path)
    for policy, expected in CORDA_HIT_RATIO.items():
        misses, ratio = play(requests, policy, CORDA_ENTRIES)
        yield Row(
            "corda", policy, f"{CORDA_ENTRIES} entries", misses, ratio, f"{expected:.2%}", abs(ratio - expected) < 5e-5
        )


def table_of(rows: Iterable[Row]) -> Table:
    """Lay the figures out for a person."""
    table = Table(title="requests of real caches, played through ours")
    for heading in ("trace", "policy", "bound", "misses", "hit ratio", "by others", ""):
        table.add_column(heading, justify="left" if heading in ("trace", "policy") else "right")
    for row in rows:
        verdict = "[green]same[/]" if row.agrees else "[red]differs[/]"
        figures = (row.bound, f"{row.misses:,}", f"{row.hit_ratio:.2%}", row.expected)
        table.add_row(row.trace, row.policy, *figures, verdict)
    return table


def main() -> None:
    """Play the traces named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.measures.traces", description="Compare misses on recorded requests."
    )
    parser.add_argument("--cloud-physics", type=Path, help="cloudPhysicsIO.oracleGeneral.bin.xz")
    parser.add_argument("--corda", type=Path, help="trace_vaultservice.gz")
    options = parser.parse_args()
    if options.cloud_physics is None and options.corda is None:
        parser.error("name at least one trace")
    rows: list[Row] = []
    if options.cloud_physics is not None:
        rows += cloud_physics(options.cloud_physics)
    if options.corda is not None:
        rows += corda(options.corda)
    Console().print(table_of(rows))
    sys.exit(0 if all(row.agrees for row in rows) else 1)


if __name__ == "__main__":
    main()
