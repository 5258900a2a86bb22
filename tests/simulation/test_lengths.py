import random

import pytest

from streamproc.simulation.lengths import WORKLOADS


@pytest.mark.parametrize(
    ("name", "which", "share", "tokens"),
    [
        ("azure-code", 0, 0.50, 1469),
        ("azure-code", 1, 0.50, 13),
        ("azure-code", 1, 0.99, 252),
        ("azure-conversation", 1, 0.50, 129),
        ("azure-conversation", 1, 0.90, 424),
        ("mooncake-conversation", 1, 0.99, 1119),
        ("arxiv-summaries", 1, 0.99, 3271),
    ],
)
def test_lengths_are_those_of_the_trace(name, which, share, tokens):
    """Drawn lengths have the percentiles of the recorded ones, within a quarter: the fits are that good."""
    source = random.Random(5)
    drawn = sorted(WORKLOADS[name].draw(source)[which] for _ in range(20_000))
    assert drawn[int(share * len(drawn))] == pytest.approx(tokens, rel=0.25)


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_length_is_below_one_or_above_the_longest(name):
    """Every prompt and answer has between one token and the longest there is, and a seed repeats them."""
    workload = WORKLOADS[name]
    first = [workload.draw(source) for source in [random.Random(1)] for _ in range(5000)]
    second = [workload.draw(source) for source in [random.Random(1)] for _ in range(5000)]
    assert first == second
    assert all(1 <= tokens <= workload.longest for pair in first for tokens in pair)
