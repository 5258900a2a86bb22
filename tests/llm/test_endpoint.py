"""The endpoint: pace, deadlines that survive stalls, and what errors amount to."""

import itertools
import time
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.completions import Completion, Message, Request, Usage
from streamproc.control.admission import Admission, FixedLimit
from streamproc.control.pace import Pace
from streamproc.control.silence import Silence
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    NotSent,
    ProviderError,
    ProviderStop,
    RateLimited,
    RejectedRequest,
    Unavailable,
)
from streamproc.flow.halt import Drain, Halt
from streamproc.flow.meter import Meter
from streamproc.llm.batches import Answers, Batch
from streamproc.llm.deadlines import Deadlines
from streamproc.llm.endpoint import Endpoint, estimated_tokens
from streamproc.llm.health import Health
from streamproc.simulation.virtual_time import run_virtual

REQUEST = Request(deployment="d", model="m", messages=(Message("user", "x" * 40),), parameters={"max_tokens": 10})
GOOD = Completion(text="t", model="m", finish_reason="stop", usage=Usage(10, 5))


class Scripted:
    """Answers with what a function gives for the n-th call, after `seconds`."""

    def __init__(self, script: Callable[[int], ProviderError | None], seconds: float = 0.0) -> None:
        self.script = script
        self.seconds = seconds
        self.sent_at: list[float] = []

    async def complete(self, request: Request) -> Completion:
        self.sent_at.append(anyio.current_time())
        number = len(self.sent_at)
        await anyio.sleep(self.seconds)
        error = self.script(number)
        if error is not None:
            raise error
        return GOOD


def endpoint(completer: Scripted, **options: float) -> tuple[Endpoint, Halt]:
    halt = Halt()
    health = Health(options.pop("unreachable_seconds", 300), 3600, anyio.current_time)
    timeout = options.pop("timeout_seconds", 100)
    meter = Meter(anyio.current_time)
    admission = Admission(FixedLimit(1000), Pace(**options))
    return Endpoint(
        completer, health, meter, halt, anyio.current_time, admission, lambda _: None, timeout_seconds=timeout
    ), halt


@pytest.mark.parametrize("seconds", [1.0, 30.0, 120.0])
def test_an_attempt_ends_at_its_deadline(seconds: float) -> None:
    """A hung server costs the timeout and at most an eighth or a quarter second more, and counts as perhaps paid."""

    async def main() -> float:
        asked, _ = endpoint(Scripted(lambda _: None, 10_000), timeout_seconds=seconds)
        with pytest.raises(Ambiguous, match="no answer within"):
            await asked.complete(REQUEST, estimated_tokens(REQUEST))
        return anyio.current_time()

    assert seconds <= run_virtual(main()) <= seconds + 0.5


@pytest.mark.fault(50)
@pytest.mark.promise("P21")
def test_a_stall_of_this_process_discards_no_answer() -> None:
    """Answers that wait while the event loop is blocked longer than the timeout are read, not timed out."""

    async def main() -> int:
        asked, _ = endpoint(Scripted(lambda _: None, 0.05), timeout_seconds=0.2)
        answered = 0

        async def one() -> None:
            nonlocal answered
            await asked.complete(REQUEST, estimated_tokens(REQUEST))
            answered += 1

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
            await anyio.sleep(0.01)
            time.sleep(0.6)  # noqa: ASYNC251 - the stall itself
        return answered

    assert anyio.run(main) == 20


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(0.5, 50))
def test_deadlines_hold_for_each_attempt(starts: list[float], seconds: float) -> None:
    """Each attempt gets its whole time, wherever the common timer stands when it begins."""

    async def main() -> None:
        deadlines = Deadlines(seconds)

        async def one(start: float) -> None:
            await anyio.sleep(start)
            began = anyio.current_time()
            scope = deadlines.start()
            with scope:
                await anyio.sleep_forever()
            lasted = anyio.current_time() - began
            assert seconds - 1e-6 <= lasted + 0.25 + 1e-6
            assert lasted <= seconds + 0.5

        async with anyio.create_task_group() as group:
            for start in starts:
                group.start_soon(one, start)

    run_virtual(main())


def test_a_pause_is_for_everybody_and_is_not_undercut() -> None:
    """After a 429 with Retry-After no request of the endpoint is sent before that time."""
    completer = Scripted(lambda number: RateLimited("slow", retry_after=30.0) if number == 1 else None)

    async def main() -> None:
        asked, _ = endpoint(completer)
        with pytest.raises(RateLimited):
            await asked.complete(REQUEST, estimated_tokens(REQUEST))

        async def one() -> None:
            await asked.turn(REQUEST)
            await asked.complete(REQUEST, estimated_tokens(REQUEST))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)

    run_virtual(main())
    assert completer.sent_at == [0.0] + [30.0] * 5


def test_an_endpoint_that_cannot_be_reached_is_not_hammered() -> None:
    """While no connection can be made everybody pauses, longer each time, up to five seconds; then all go on."""
    completer = Scripted(lambda _: NotSent("refused") if anyio.current_time() < 60 else None)

    async def main() -> None:
        asked, _ = endpoint(completer)

        async def one() -> None:
            while True:
                await asked.turn(REQUEST)
                try:
                    await asked.complete(REQUEST, estimated_tokens(REQUEST))
                except NotSent:
                    continue
                return

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)

    run_virtual(main())
    moments = sorted(set(completer.sent_at))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert gaps[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert gaps[-1] == pytest.approx(5.0)
    assert len(completer.sent_at) <= 8 * 20
    assert moments[-1] <= 66


def test_a_configured_rate_is_kept() -> None:
    """`requests_per_minute` and `tokens_per_minute` bound what is sent; unused reservations are returned."""
    by_requests = Scripted(lambda _: None)
    by_tokens = Scripted(lambda _: None)

    async def main(completer: Scripted, **rates: float) -> float:
        asked, _ = endpoint(completer, **rates)
        for _ in range(31):
            await asked.turn(REQUEST)
            await asked.complete(REQUEST, estimated_tokens(REQUEST))
        return anyio.current_time()

    assert run_virtual(main(by_requests, requests_per_minute=60)) == pytest.approx(30, abs=0.1)
    assert run_virtual(main(by_tokens, tokens_per_minute=60 * 15)) == pytest.approx(31, abs=3)  # 15 tokens each


def test_a_halt_ends_the_wait_for_a_turn() -> None:
    """Whoever waits for the pace or a pause wakes when the run is asked to end."""

    async def main() -> float:
        asked, halt = endpoint(Scripted(lambda _: RateLimited("slow", retry_after=3000.0)))
        with pytest.raises(RateLimited):
            await asked.complete(REQUEST, estimated_tokens(REQUEST))
        async with anyio.create_task_group() as group:
            group.start_soon(asked.turn, REQUEST)
            await anyio.sleep(2)
            halt.request(Drain.REQUESTED)
        return anyio.current_time()

    assert run_virtual(main()) == 2


def test_aborting_ends_attempts_now() -> None:
    """`abort` ends what is under way, as if its time were over."""

    async def main() -> float:
        asked, _ = endpoint(Scripted(lambda _: None, 10_000))

        async def one() -> None:
            with pytest.raises(Ambiguous):
                await asked.complete(REQUEST, estimated_tokens(REQUEST))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await anyio.sleep(1)
            asked.abort()
        return anyio.current_time()

    assert run_virtual(main()) == 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def health(clock: Clock) -> Health:
    return Health(300, 3600, clock)


def test_twenty_rejections_without_a_success_are_the_jobs_fault() -> None:
    """The twentieth rejected row of a run without success stops it; after one success none does."""
    judged = health(Clock())
    errors = [judged.judge(RejectedRequest("no", status=400), 0, Silence()) for _ in range(20)]
    assert [type(error) for error in errors] == [RejectedRequest] * 19 + [ProviderStop]
    judged = health(Clock())
    judged.succeeded(0)
    assert all(isinstance(judged.judge(RejectedRequest("no"), 0, Silence()), RejectedRequest) for _ in range(50))


def test_mostly_bad_answers_stop_the_run() -> None:
    """More than half of the last twenty answers that are none: a captive portal, or a wrong address."""
    judged = health(Clock())
    for _ in range(9):
        judged.succeeded(0)
    errors = [judged.judge(BadAnswer("html"), 0, Silence()) for _ in range(11)]
    assert [type(error) for error in errors] == [BadAnswer] * 10 + [ProviderStop]


STOPPING = [NotSent("refused"), Unavailable("503", status=503), Ambiguous("late", code="deadline"), RateLimited("slow")]


@pytest.mark.fault(27, 33, 34)
@pytest.mark.parametrize("error", STOPPING)
def test_an_endpoint_that_answers_nobody_stops_the_run_after_a_while(error: ProviderError) -> None:
    """Attempts that fail for `unreachable_seconds` without a sign of life stop the run, where it is the endpoint's
    fault; what one record alone fails at does not, nor does whatever comes from an endpoint that works."""
    clock = Clock()
    judged, silence = health(clock), Silence()
    silence.since = 100.0
    for clock.now in (100.0, 399.0, 400.0):
        assert judged.judge(error, clock.now, silence) is error
    silence.of_endpoint = True
    clock.now = 399.9
    assert judged.judge(error, clock.now, silence) is error
    clock.now = 400.0
    for alive in (RejectedRequest("no"), RateLimited("slow", retry_after=1.0)):
        assert judged.judge(alive, clock.now, silence) is alive
    stop = judged.judge(error, clock.now, silence)
    assert isinstance(stop, ProviderStop)
    assert "nothing was answered for 300 s" in stop.message
    assert ("timeout_seconds" in stop.message) == (error.code == "deadline")


@pytest.mark.fault(37)
def test_a_key_that_worked_is_probed_once() -> None:
    """A first 401 stops at once; after a success it is tried once more a second later, then stops. What was sent before
    the refusal and is answered after it says nothing; an answer to what was sent after it does."""
    clock = Clock()
    judged = health(clock)
    refused = ProviderStop("key", status=401)
    assert judged.judge(refused, 0, Silence()) is refused
    judged = health(clock)
    judged.succeeded(0)
    clock.now = 10.0
    for started in (8.0, 9.0, 10.0):  # all under way when the key went bad
        assert isinstance(judged.judge(refused, started, Silence()), Unavailable)
    judged.succeeded(9.9)
    clock.now = 11.5
    assert judged.judge(refused, 11.0, Silence()) is refused
    judged.succeeded(10.1)
    assert isinstance(judged.judge(refused, 11.0, Silence()), Unavailable)


def test_a_wait_beyond_every_measure_stops_the_run() -> None:
    """A provider that asks to wait for thirty years is not waited for."""
    assert isinstance(health(Clock()).judge(RateLimited("later", retry_after=1e9), 0, Silence()), ProviderStop)
    assert isinstance(health(Clock()).judge(RateLimited("later", retry_after=3600), 0, Silence()), RateLimited)


def test_a_batch_is_one_request_and_all_of_its_tokens() -> None:
    """Pacing counts a batch as one request; of tokens it takes what its texts take together."""
    texts = [Request(deployment="d", model="m", kind="embeddings", text="x" * 400) for _ in range(6)]
    batch = Batch(tuple(texts))
    assert [estimated_tokens(text) for text in texts] == [100] * 6
    assert estimated_tokens(batch) == 600
    longer = Request(deployment="d", model="m", kind="completions", text="x" * 40, parameters={"max_tokens": 10})
    assert estimated_tokens(longer) == 20

    class Embeds:
        async def complete(self, batch: Batch) -> Answers:
            return Answers([GOOD for _ in batch.requests])

    async def main(**limits: float) -> float:
        health = Health(300, 3600, anyio.current_time)
        meter = Meter(anyio.current_time)
        asked: Endpoint[Batch, Answers] = Endpoint(
            Embeds(),
            health,
            meter,
            Halt(),
            anyio.current_time,
            Admission(FixedLimit(1000), Pace(**limits)),
            lambda _: None,
            timeout_seconds=100,
        )
        for _ in range(61):
            await asked.turn(batch)
            answers = await asked.complete(batch, estimated_tokens(batch))
        assert answers.usage == Usage(60, 30)
        assert meter.snapshot().counter("prompt_tokens_total") == 61 * 60
        return anyio.current_time()

    assert run_virtual(main(requests_per_minute=60)) == pytest.approx(60)
    assert run_virtual(main(tokens_per_minute=90 * 60)) >= 59
