"""What an answer amounts to: recovered where it is a law, harmless where it is not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.control.attempts import Attempt
from streamproc.control.concurrency.work import WorkModel

seeds = st.integers(0, 2**32)
lengths = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), min_size=1, max_size=80)


def attempts_of(pairs: list[tuple[int, int]], a_token: float, a_prompt_token: float, fixed: float) -> list[Attempt]:
    """Attempts whose seconds are exactly linear in their tokens."""
    return [Attempt(0.0, fixed + a_token * w + a_prompt_token * r, "answered", r, w) for r, w in pairs]


@given(seeds, st.floats(1e-3, 1), st.floats(0, 0.9), st.floats(0, 500))
def test_a_law_in_the_data_is_found(seed: int, a_token: float, share: float, overhead: float) -> None:
    """Where seconds are linear in tokens read and written, the shares of prompts and of each attempt come out, within
    what keeps the fit stable; then all attempts are equally fast, whatever their lengths."""
    draw, work = random.Random(seed), WorkModel()
    pairs = [(draw.randint(10, 2000), draw.randint(50, 1000)) for _ in range(100)]
    attempts = attempts_of(pairs, a_token, share * a_token, overhead * a_token)
    speed = work.speed(attempts)
    assert speed.per_prompt_token == pytest.approx(share, abs=0.01)
    assert speed.overhead == pytest.approx(overhead, abs=10)
    assert speed.work == pytest.approx(1 / a_token, rel=0.02)


@given(lengths, st.floats(1e-3, 1), st.floats(0, 5), st.integers(-20, 20), st.integers(0, 8))
def test_units_do_not_matter(
    pairs: list[tuple[int, int]], a_token: float, share: float, time: int, tokens: int
) -> None:
    """Typical answers a second are the same in every unit of tokens, and so many times more in a shorter unit of
    time: exactly, by powers of two."""
    plain, scaled = WorkModel(), WorkModel()
    for each, seconds, count in ((plain, 1.0, 1), (scaled, 2.0**time, 2**tokens)):
        attempts = [
            Attempt(0.0, seconds * (a_token * w + share * a_token * r + 0.25), "answered", count * r, count * w)
            for r, w in pairs
        ]
        for attempt in attempts:
            each.enter(attempt)
        speed = each.speed(attempts)
        typical = each.typical(speed.per_prompt_token, speed.overhead)
        if each is plain:
            expected = speed.work / typical
        else:
            assert speed.work / typical == pytest.approx(expected / seconds, rel=1e-12)


@given(seeds, st.integers(1, 60), st.sampled_from([0, 1, 10, 10**9]), st.sampled_from([0, 10, 10**9]))
def test_whatever_was_answered_there_is_a_speed(seed: int, answers: int, longest: int, longest_prompt: int) -> None:
    """Any tokens, or none, in any time: the speed is positive, and so is the typical answer; a token read costs no more
    than one written, and nothing less than nothing."""
    draw, work = random.Random(seed), WorkModel()
    attempts = [
        Attempt(
            0.0, draw.lognormvariate(0, 3), "answered", draw.randint(0, longest_prompt), draw.randint(0, longest) or 1
        )
        if longest
        else Attempt(0.0, draw.random(), "answered")
        for _ in range(answers)
    ]
    for attempt in attempts:
        work.enter(attempt)
    speed = work.speed(attempts)
    assert speed.work > 0
    assert 0 <= speed.per_prompt_token <= 1
    assert speed.overhead >= 0
    assert work.typical(speed.per_prompt_token, speed.overhead) > 0


def test_a_plain_example() -> None:
    """Without tokens an answer is an answer; a few with tokens are too few to learn from, and count what is written."""
    plain = [Attempt(0.0, 2.0, "answered")] * 20
    assert WorkModel().speed(plain).work == 0.5
    few = [Attempt(0.0, 2.0, "answered", 0, 100)] * 5
    assert WorkModel().speed(few).work == 50.0
