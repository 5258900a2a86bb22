import anyio
import pytest

from streamproc.completions import Completion, Message, Request, Usage
from streamproc.errors import Ambiguous, BadAnswer, RateLimited, RejectedRequest, Unavailable
from streamproc.simulation import Profile, SimulatedCompleter
from streamproc.simulation.virtual_time import run_virtual


def question(text, **parameters):
    return Request(deployment="simulated", model="m", messages=(Message("user", text),), parameters=parameters)


async def complete(profile, request=None, **options):
    completer = SimulatedCompleter(profile, **options)
    return await completer.complete(request or question("Hello there. And more."))


def test_a_completion_is_whole():
    """A request that meets no fault gets a complete answer with its usage."""
    profile = Profile(name="p", output_mu=3.0, output_sigma=0.0)
    assert run_virtual(complete(profile)) == Completion(
        text="Hello there.", model="m", finish_reason="stop", usage=Usage(6, 20)
    )


@pytest.mark.parametrize(
    ("fault", "error", "status", "retry_after"),
    [
        ("503", Unavailable, 503, None),
        ("500", Unavailable, 500, None),
        ("429", RateLimited, 429, 1.0),
        ("reset", Ambiguous, None, None),
        ("reset_after_work", Ambiguous, None, None),
        ("truncate_body", Ambiguous, 200, None),
        ("hang", Ambiguous, None, None),
        ("html", BadAnswer, 200, None),
    ],
)
def test_each_fault_has_its_error(fault, error, status, retry_after):
    """Each fault is raised as the error of its family, with the status and the hint that came with it."""
    with pytest.raises(error) as raised:
        run_virtual(complete(Profile(name="p", fault_ratio={fault: 1.0})))
    assert (raised.value.status, raised.value.retry_after) == (status, retry_after)


def test_a_slow_answer_passes_the_deadline_and_stops_the_work():
    """What takes longer than the deadline is ambiguous, and the endpoint stops working for it."""

    async def main():
        completer = SimulatedCompleter(Profile(name="p", ttft_seconds=30.0), deadline_seconds=20.0)
        with pytest.raises(Ambiguous, match="20 s"):
            await completer.complete(question("x"))
        return anyio.current_time(), completer.figures()

    now, figures = run_virtual(main())
    assert now == pytest.approx(20.0)
    assert (figures.running, figures.billed) == (0, 0)


def test_a_malformed_request_is_rejected_for_good():
    """A request that no endpoint would read is a matter for its record, not for a retry."""
    with pytest.raises(RejectedRequest, match="max_tokens"):
        run_virtual(complete(Profile(name="p"), question("x", max_tokens=-1)))
