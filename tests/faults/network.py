"""A whole pipeline against the misbehaving endpoint: real sockets, a real journal and real files, on virtual time."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamproc import JsonlSink, JsonlSinkConfig, LlmConfig, PipelineConfig, ProviderStop
from streamproc.pipeline.config import ConcurrencyConfig, ResourcesConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.report import RunReport
from streamproc.simulation.virtual_time import run_virtual
from streamproc.sources.jsonl import JsonlSourceConfig
from tests.faults.oracle_server import Rule, serving
from tests.system import oracle

MARK = "net"


@dataclass
class Scene:
    """A folder with input, output and bill, and what came of the last run in it.

    Attributes:
        report: of the run, however it ended.
        stop: what the provider ended it with; `None` where it did not.
        seconds: how long it took, on the virtual clock.
        requests: what came to the endpoint, see `Oracle`.
        figures: the endpoint's.
    """

    home: Path
    records: int
    report: RunReport | None = None
    stop: ProviderStop | None = None
    seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        oracle.write_input(self.home / "run", self.records, MARK)

    def run(self, rules: Sequence[Rule] = (), concurrency: int = 4, **llm: Any) -> RunReport:
        """Run, or continue, against an endpoint with this plan; give the report."""
        return run_virtual(self._run(rules, concurrency, llm))

    async def _run(self, rules: Sequence[Rule], concurrency: int, llm: Mapping[str, Any]) -> RunReport:
        began, self.stop = asyncio.get_running_loop().time(), None
        async with serving(self.home / "ledger", rules) as (url, books):
            settings = {"timeout_seconds": 5.0, "deployment": "oracle", "base_url": url, **llm}
            path = self.home / "run" / oracle.OUTPUTS[0]
            config = PipelineConfig(
                source=JsonlSourceConfig(path=str(self.home / "run" / oracle.INPUT), id_field="id"),
                llm=LlmConfig(model="oracle", prompt="{{ text }}", parameters={"temperature": 0}, **settings),
                concurrency=ConcurrencyConfig(initial=concurrency),
                resources=ResourcesConfig(max_concurrent=concurrency, monitoring_enabled=False),
                sink=JsonlSinkConfig(path=str(path)),
            )
            running = DataProcessingPipeline(config, sink=JsonlSink(path))
            try:
                await running.run()
            except ProviderStop as stop:
                self.stop = stop
            self.seconds = asyncio.get_running_loop().time() - began
        self.report, self.requests, self.figures = running.report, books.requests, books.figures()
        assert self.report is not None
        return self.report

    def judged(self, repayable: int = 0, dead: Collection[int] = (), unbilled: Collection[int] = ()) -> oracle.Verdict:
        """Have the whole judged, now that every record has ended; see `oracle.judge`."""
        verdict = oracle.judge(
            *(self.home / "run", self.home / "ledger", 0, MARK, repayable),
            dead=frozenset(dead),
            unbilled=frozenset(unbilled),
        )
        assert not verdict.violations, verdict.violations
        return verdict

    def asked(self, number: int) -> int:
        """Count the requests for a record in the last run."""
        return sum(request["number"] == number for request in self.requests)

    def dead(self) -> dict[int, dict[str, Any]]:
        """Give the dead letters of records that have a text, by number."""
        path = self.home / "run" / "out.jsonl.dead.jsonl"
        letters = [json.loads(line) for line in path.read_text().splitlines()]
        return {int(letter["id"][1:]): letter for letter in letters if "text" in letter["input"]}

    def rows(self) -> dict[int, dict[str, Any]]:
        """Give the rows, by number."""
        lines = (self.home / "run" / oracle.OUTPUTS[0]).read_bytes().split(b"\n")
        assert lines.pop() == b""
        rows = map(json.loads, lines)
        return {int(row["id"][1:]): row for row in rows}
