"""Crashes one run, continues it, and has it judged."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system import oracle
from tests.system.endpoint import Endpoint
from tests.system.nursery import Nursery

RECORDS = 30
CONCURRENCY = 4


@dataclass(frozen=True)
class Kill:
    """A kill before the `at`-th call that changes a file, counted from 1; torn, within the `at`-th that writes."""

    at: int
    torn: bool = False


@dataclass
class Crashed:
    """What came of a run that was to be killed.

    Attributes:
        kills: how many of the kills found it alive.
        point: the call at which the first start was killed, and its file.
        verdict: what the oracle says.
        story: each start in a few words.
    """

    kills: int
    point: str
    verdict: oracle.Verdict
    story: list[str]

    @property
    def violations(self) -> str:
        """What is wrong, with how it came to that; empty if nothing is."""
        return "\n".join([*self.story, *self.verdict.violations]) if self.verdict.violations else ""


class Crashes:
    """Makes runs of their own, each to be killed once or several times.

    Args:
        folder: for their files.
        endpoint: answers them.
        nursery: starts them.
    """

    def __init__(self, folder: Path, endpoint: Endpoint, nursery: Nursery) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._nursery = nursery
        self._made = 0

    def crash(self, sink: str, kills: Sequence[Kill]) -> Crashed:
        """Run, killing the first start as the first kill says, the second as the second, then to the end."""
        self._made += 1
        mark = f"run{self._made}"
        folder = self._folder / mark
        ledger = self._endpoint.ledger
        since = oracle.bill_size(ledger)
        oracle.write_input(folder, RECORDS, mark)
        argv = ["--sink", sink, "--folder", str(folder), "--url", self._endpoint.url]
        argv += ["--concurrency", str(CONCURRENCY)]
        hits, point, story, finished = 0, "", [], False
        for kill in [*kills, None]:
            start = self._nursery.run(argv, *((kill.at,) if kill else ()), torn=bool(kill and kill.torn))
            story.append(f"{kill}: status {start['status']} at {start['point']!r} {start['errors']}".strip())
            hits += start["status"] == -9
            point = point or start["point"].replace(f"{folder}/", "").replace(str(folder), "the folder")
            finished = start["status"] == 0
        verdict = oracle.judge(folder, ledger, since, mark, CONCURRENCY * hits)
        if not finished:
            verdict.violations.append("the last start, which nobody killed, did not finish")
        shutil.rmtree(folder)
        return Crashed(hits, point, verdict, story)

    def count(self, sink: str) -> Counter[str]:
        """Run undisturbed, and give how many calls of each kind there were."""
        self._made += 1
        folder = self._folder / f"run{self._made}"
        oracle.write_input(folder, RECORDS, folder.name)
        start = self._nursery.run(["--sink", sink, "--folder", str(folder), "--url", self._endpoint.url])
        assert start["status"] == 0, start
        return Counter(start["calls"])
