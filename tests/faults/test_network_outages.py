"""An endpoint that is down for a while: rows wait, none fails for it, and one that is to blame fails all the same.

On virtual time, over any kind of outage; then a real process that is frozen in the middle of a real run.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamproc import Completion, LlmConfig, MemorySink, MemorySource, PipelineConfig, ProviderStop, Request
from streamproc.completions import Usage
from streamproc.errors import Ambiguous, NotSent, RateLimited, Unavailable
from streamproc.pipeline.config import ConcurrencyConfig, ResourcesConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.simulation.virtual_time import run_virtual
from tests.faults.commands import Job
from tests.faults.oracle_server import OracleEndpoint

TIMEOUT = 5.0
runs = settings(max_examples=15, derandomize=True, phases=[Phase.explicit, Phase.generate])
"""Whole runs: always the same ones, and a shorter outage is no simpler one."""
Down = Literal["hangs", "500", "502", "503", "429", "refuses", "breaks"]
DOWN: tuple[Down, ...] = ("hangs", "500", "502", "503", "429", "refuses", "breaks")


class Endpoint:
    """Answers after so long, but for its outages, and for some records never.

    Args:
        seconds: how long an answer takes.
        down: how it fails while it is down.
        outages: from when to when it is.
        poison: records that it always fails at, and how.
    """

    def __init__(
        self,
        seconds: float,
        down: Down = "503",
        outages: tuple[tuple[float, float], ...] = (),
        poison: dict[str, Down] | None = None,
    ) -> None:
        self._seconds, self._down, self._outages, self._poison = seconds, down, outages, poison or {}
        self.asked: Counter[str] = Counter()
        self.asked_while_down = 0
        self.answered: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        text = str(request.messages[-1].content)
        self.asked[text] += 1
        if (until := self._down_until()) is not None:
            self.asked_while_down += 1
            await self._fail(self._down, until)
        elif text in self._poison:
            await self._fail(self._poison[text], 1e9)
        await anyio.sleep(self._seconds)
        if (until := self._down_until()) is not None:
            await self._fail(self._down if self._down in {"hangs", "breaks"} else "breaks", until)
        self.answered[text] += 1
        return Completion(text=text, model="m", finish_reason="stop", usage=Usage(3, 1))

    def _down_until(self) -> float | None:
        now = anyio.current_time()
        return next((end for begin, end in self._outages if begin <= now < end), None)

    async def _fail(self, how: Down, until: float) -> None:
        if how == "hangs":
            await anyio.sleep_until(until)
            return
        await anyio.sleep(0.02)
        if how == "refuses":
            raise NotSent("connection refused", code="econnrefused")
        if how == "429":
            raise RateLimited("slow down", status=429)
        if how == "breaks":
            raise Ambiguous("the connection broke", code="econnreset")
        raise Unavailable("it failed", status=int(how))


def pipeline(endpoint: Endpoint, sink: MemorySink, count: int, concurrency: int, **llm: Any) -> DataProcessingPipeline:
    config = PipelineConfig(
        llm=LlmConfig(model="m", prompt="{{ text }}", base_url="http://127.0.0.1:1/v1", timeout_seconds=TIMEOUT, **llm),
        concurrency=ConcurrencyConfig(initial=concurrency),
        resources=ResourcesConfig(max_concurrent=concurrency, monitoring_enabled=False),
    )
    source = MemorySource([{"text": f"t{number}"} for number in range(count)])
    return DataProcessingPipeline(config, source=source, sink=sink, completer=endpoint)


@pytest.mark.fault(33, 34)
@runs
@given(
    st.sampled_from(DOWN),
    st.integers(1, 12),
    st.floats(0.5, 2.0),
    st.floats(0, 5),
    st.lists(st.tuples(st.floats(3, 200), st.floats(17, 25)), min_size=1, max_size=2),
)
def test_an_outage_costs_no_record_its_attempts(
    down: Down, concurrency: int, seconds: float, first: float, spells: list[tuple[float, float]]
) -> None:
    """However an endpoint fails, at once or for minutes, once or thrice: every record is answered, and while it is down
    it is asked hardly more often than once by each call in the air and then by one at a time."""
    outages, at = [], first
    for lasts, between in spells:
        outages.append((at, at + lasts))
        at += lasts + between
    endpoint, sink = Endpoint(seconds, down, tuple(outages)), MemorySink()
    report = run_virtual(pipeline(endpoint, sink, 800, concurrency).run())
    assert (report.completed, report.failed) == (800, 0), [failed.error for failed in sink.failed]
    probes = 3 * concurrency + 8
    assert endpoint.asked_while_down <= sum(probes + lasts / (1 if down == "refuses" else 8) for lasts, _ in spells)


@pytest.mark.fault(34)
@runs
@given(st.sampled_from(["hangs", "500", "503", "breaks"]), st.integers(1, 12), st.floats(0.05, 2.0), st.booleans())
def test_a_record_that_is_to_blame_is_a_dead_letter(how: Down, concurrency: int, seconds: float, outage: bool) -> None:
    """A record at which the endpoint fails each time, while it answers others, ends as a dead letter after its attempts
    and few more, with an outage in the middle or without; all others are answered."""
    poison: dict[str, Down] = {"t7": how, "t40": how}
    spell = ((5.0, 60.0),) if outage else ()
    endpoint, sink = Endpoint(seconds, "503", spell, poison), MemorySink()
    report = run_virtual(pipeline(endpoint, sink, 400, concurrency, max_attempts=4).run())
    assert {failed.envelope.record.data["text"] for failed in sink.failed} == {"t7", "t40"}
    assert report.completed == 398
    most = 2 if how in {"hangs", "breaks"} else 4
    for text in poison:
        assert most <= endpoint.asked[text] <= most + 6 * outage


@pytest.mark.fault(27, 33, 34)
@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("begins", [0.0, 20.0])
def test_an_outage_without_end_stops_the_run(down: Down, begins: float) -> None:
    """After `unreachable_seconds` without a sign of life the run stops and says so, with no dead letter; the same
    command continues and completes the rest, each record answered once."""
    sink = MemorySink()
    endpoint = Endpoint(0.5, down, ((begins, 1e9),))

    async def stopped() -> float:
        running = pipeline(endpoint, sink, 300, 4, unreachable_seconds=60)
        with pytest.raises(ProviderStop, match=r"nothing was answered for .* give the same command"):
            await running.run()
        return anyio.current_time()

    ended = run_virtual(stopped())
    assert begins + 60 <= ended <= begins + 60 + 3 * TIMEOUT + 16
    assert not sink.failed
    assert len(sink.completed) == len(endpoint.answered)
    again = Endpoint(0.5)
    report = run_virtual(pipeline(again, sink, 300, 4).run())
    assert report.completed + report.delivered_before == 300
    assert not endpoint.answered & again.answered


@pytest.mark.slow
@pytest.mark.fault(33, 50)
@pytest.mark.promise("P1")
def test_an_endpoint_that_freezes_costs_no_record(tmp_path: Path, figure: Any) -> None:
    """An endpoint stopped for 10 s in the middle of 2,000 records, 32 at once and each with 3 s: none fails for it, and
    what is paid again is at most what was in the air and the probes."""
    job = Job(tmp_path, records=2000, mark="frozen", concurrency=32, timeout_seconds=3)
    rules = [{"do": "answer", "after": [0.02, 0.2]}]
    with OracleEndpoint(job.ledger, rules) as endpoint, job.running(endpoint.url) as process:
        endpoint.wait_until("billed", 300)
        endpoint.freeze()
        job.sleep(10)
        endpoint.thaw()
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1, said  # each tenth record has no text
    repaid = job.judged(repayable=2 * 32 + 5).repaid
    dead = [json.loads(line) for line in job.dead.read_text().splitlines()]
    assert {letter["error"]["type"] for letter in dead} == {"render_failed"}
    figure.most(repaid, "answers paid again after 10 s without any, 32 in the air")
    figure.say("no dead letter after 10 s frozen")
