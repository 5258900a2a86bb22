"""Run the peers' own suites on our caches, all at once, and print what came of each.

It fails if a test fails that is not known to look inside its own class, if one of those passes, or if fewer tests ran
than there are.

    python tests/peers/run.py FOLDER_OF_THE_UNPACKED_SOURCES
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from back_ends import BACK_ENDS
from white_box import AIOCACHE

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MOST_SECONDS = 200


@dataclass(frozen=True)
class Suite:
    """A peer's tests on one back end."""

    name: str
    back_end: str
    tests: int
    source: str
    """The peer's unpacked archive, a pattern in the folder of sources; empty where its package brings the tests."""
    arguments: tuple[str, ...]
    """Of pytest; the first is a path in the archive or beside this file."""
    white_box: Mapping[str, str] = field(default_factory=dict)
    """The reason for each test that cannot pass, by the end of its name."""


SUITES = [
    *(
        Suite(
            "aiocache",
            back_end,
            290,
            "aiocache-*",
            ("tests/acceptance", "-p", "in_place_of_aiocache", "-m", "not memcached"),
            AIOCACHE,
        )
        for back_end in BACK_ENDS
    ),
    Suite("cachetools", "LRUCache", 29, "cachetools-*", (str(HERE / "lru_cache.py"),)),
    *(Suite("langchain", back_end, 16, "", (str(HERE / "langchain_cache.py"),)) for back_end in BACK_ENDS),
]


@dataclass(frozen=True)
class Result:
    """What came of a suite."""

    passed: int
    failed: int
    seconds: float
    problems: list[str]
    output: str


def run(suite: Suite, sources: Path) -> Result:
    """Run a suite in a process of its own."""
    start = time.monotonic()
    folder = next(sources.glob(suite.source)) if suite.source else HERE
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-c", str(HERE / "peers.ini"), "--rootdir", str(folder)]
        result = subprocess.run(
            [*command, f"--basetemp={scratch}/tmp", f"--junitxml={report}", *suite.arguments],
            cwd=folder,
            env={
                **os.environ,
                "PEER_BACK_END": suite.back_end,
                "PYTHONPATH": os.pathsep.join(map(str, (folder, HERE, HERE.parent, ROOT))),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_SECONDS,
        )
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    seconds = time.monotonic() - start
    passed = {_name(case) for case in cases if not any(True for _ in case)}
    failed = {_name(case) for case in cases} - passed
    problems = _problems(suite, passed, failed)
    return Result(len(passed), len(failed), seconds, problems, result.stdout + result.stderr)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def _problems(suite: Suite, passed: set[str], failed: set[str]) -> list[str]:
    known = {name: end for name in passed | failed for end in suite.white_box if name.endswith("." + end)}
    problems = [f"failed or skipped: {name}" for name in sorted(failed - known.keys())]
    problems += [f"passes, and is listed as one that cannot: {name}" for name in sorted(passed & known.keys())]
    problems += [f"listed, but there is no such test: {end}" for end in sorted(suite.white_box.keys() - known.values())]
    if len(passed) + len(failed) < suite.tests:
        problems.append(f"{len(passed) + len(failed)} tests ran, there are {suite.tests}")
    return problems


def main(sources: Path) -> int:
    """Run all suites; give 1 if something is not as it should be, else 0."""
    with ThreadPoolExecutor(len(SUITES)) as pool:
        results = list(pool.map(lambda suite: run(suite, sources), SUITES))
    print(f"{'suite':12}{'back end':12}{'passed':>8}{'failed':>8}{'expected':>10}{'seconds':>9}")
    for suite, result in zip(SUITES, results, strict=True):
        counts = f"{result.passed:8}{result.failed:8}{len(suite.white_box):10}{result.seconds:9.1f}"
        print(f"{suite.name:12}{suite.back_end:12}{counts}", flush=True)
    for suite, result in zip(SUITES, results, strict=True):
        for problem in result.problems:
            print(f"{suite.name} on {suite.back_end}: {problem}", file=sys.stderr)
        if result.problems:
            print(result.output[-20_000:], file=sys.stderr)
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
