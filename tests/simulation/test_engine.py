import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.simulation.engine import Declined, Engine, Spoiled
from streamproc.simulation.profiles import Profile
from streamproc.simulation.virtual_time import run_virtual

STEADY = Profile(name="steady", ttft_seconds=1.0, step_seconds_floor=0.5, output_mu=0.0, output_sigma=0.0)


def ask(text, **parameters):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **parameters}


async def crowd(engine, count, patience):
    """Ask `count` questions at once, number i leaving after patience[i] seconds; give the finish times."""
    times = {}

    async def client(number):
        with anyio.move_on_after(patience.get(number, 1e6)):
            await engine.answer(ask(f"question {number}"))
            times[number] = anyio.current_time()

    async with anyio.create_task_group() as clients:
        for number in range(count):
            clients.start_soon(client, number)
    return times


@given(
    count=st.integers(1, 12),
    patience=st.dictionaries(st.integers(0, 11), st.floats(0.0, 6.0), max_size=12),
    max_running=st.integers(1, 12),
)
def test_every_client_is_answered_or_left_and_only_the_finished_is_billed(count, patience, max_running):
    """Whoever leaves, even the one that drives: all others are answered, and only the finished are billed."""
    profile = Profile(
        name="p", ttft_seconds=0.5, step_seconds_per_sequence=0.05, output_mu=2.0, max_running=max_running
    )

    async def main():
        engine = Engine(profile, seed=count)
        times = await crowd(engine, count, patience)
        return times, engine.figures()

    times, figures = run_virtual(main())
    assert set(range(count)) - set(patience) <= set(times)
    assert len(times) <= figures.billed <= count
    assert figures.requests == count
    assert figures.answered == len(times)
    assert figures.peak_running <= max_running
    assert (figures.running, figures.queued) == (0, 0)


@given(st.integers(1, 20))
def test_answers_come_when_the_service_says(count):
    """Equal requests that start together are answered together, at ttft + tokens * T(n)."""

    async def main():
        return await crowd(Engine(STEADY), count, {})

    times = run_virtual(main())
    assert list(times.values()) == pytest.approx([1.5] * count)


def test_a_later_arrival_that_is_due_earlier_wakes_the_driver():
    """Whoever drives looks again when a newcomer is due before its own next event."""
    profile = Profile(name="p", step_seconds_floor=1.0, output_mu=4.605170186, output_sigma=0.0)  # 100 tokens

    async def main():
        engine, times = Engine(profile), []

        async def client(limit, delay):
            await anyio.sleep(delay)
            await engine.answer(ask("x", max_tokens=limit))
            times.append(anyio.current_time())

        async with anyio.create_task_group() as clients:
            clients.start_soon(client, 100, 0.0)
            clients.start_soon(client, 2, 10.0)
        return times

    assert run_virtual(main()) == pytest.approx([12.0, 100.0])


def test_a_client_that_leaves_makes_room_and_is_not_billed():
    """A cancelled request frees its place at that moment and is billed nothing."""

    async def main():
        profile = Profile(name="p", step_seconds_floor=1.0, max_running=1, output_mu=2.302585, output_sigma=0.0)
        engine = Engine(profile)
        times = await crowd(engine, 2, {0: 4.0})
        return times, engine.figures()

    times, figures = run_virtual(main())
    assert times == {1: pytest.approx(14.0)}
    assert (figures.requests, figures.answered, figures.billed) == (2, 1, 1)


def test_the_same_request_gets_the_same_answer_and_is_billed_again():
    """Repeating a request repeats its answer, and the figures tell that it was paid twice."""

    async def main():
        engine = Engine(Profile(name="p"), seed=3)
        first, second = await engine.answer(ask("A b c. D.")), await engine.answer(ask("A b c. D."))
        await engine.answer(ask("Something else."))
        return first, second, engine.figures()

    first, second, figures = run_virtual(main())
    assert first == second
    assert first.text == "A b c."
    assert (figures.billed, figures.distinct_billed, figures.billed_again) == (3, 2, 1)


def test_max_tokens_cuts_with_length():
    """An answer is finished by `stop` unless the request's limit is below what was drawn."""
    profile = Profile(name="p", output_mu=2.0, output_sigma=0.0)  # 7 tokens

    async def main():
        engine = Engine(profile)
        return [await engine.answer(ask("One two three four.", max_tokens=limit)) for limit in (2, 7, 100)]

    cut, exact, whole = run_virtual(main())
    assert (cut.finish_reason, cut.completion_tokens, cut.text) == ("length", 2, "One two")
    assert (exact.finish_reason, exact.completion_tokens) == ("stop", 7)
    assert (whole.finish_reason, whole.completion_tokens) == ("stop", 7)


@pytest.mark.parametrize(
    ("fault", "billed"),
    [("reset", 0), ("hang", 0), ("html", 0), ("truncate_body", 1), ("reset_after_work", 1)],
)
def test_only_a_fault_after_the_work_is_billed(fault, billed):
    """What breaks before the work costs nothing; what breaks after it is paid though nobody gets it."""

    async def main():
        engine = Engine(Profile(name="p", step_seconds_floor=1.0, fault_ratio={fault: 1.0}))
        with pytest.raises(Spoiled) as spoiled:
            await engine.answer(ask("x"))
        return spoiled.value, engine.figures()

    spoiled, figures = run_virtual(main())
    assert (spoiled.answer is not None) == bool(billed)
    assert (figures.billed, figures.answered, figures.faults) == (billed, 0, {fault: 1})


def test_a_rejection_is_counted_by_its_status():
    """A limit raises `Declined`, and the figures count it under its status."""

    async def main():
        engine = Engine(Profile(name="p", requests_per_minute=60.0, burst_seconds=1.0))
        await engine.answer(ask("x"))
        with pytest.raises(Declined) as declined:
            await engine.answer(ask("y"))
        return declined.value.reply.retry_after, engine.figures()

    retry_after, figures = run_virtual(main())
    assert retry_after == pytest.approx(1.0)
    assert figures.rejected == {"429": 1}
