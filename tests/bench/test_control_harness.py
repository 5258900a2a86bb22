"""The harness that controllers are scored on."""

import random

import pytest
from msgspec.structs import replace

from bench.control.contenders import CONTROLLERS
from bench.control.figures import Figures, percentile, score
from bench.control.fixed import Fixed, Planned
from bench.control.oracle import Static, choose, find_oracle
from bench.control.play import play
from bench.control.scenarios import SCENARIOS, Scenario, scenario_of
from streamproc.simulation.lengths import LogNormal, Workload
from streamproc.simulation.profiles import Profile

EQUAL = Workload("equal", LogNormal(0, 0), LogNormal(4.60517, 0))  # 100 tokens
HARD = Scenario("hard", 1, EQUAL, Profile(name="hard", step_seconds_floor=0.02, max_running=32), seconds=300.0)


class Watched(Fixed):
    """Keeps what it hears."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sent, self.attempts, self.ticks, self.peak = [], [], [], 0

    def started(self, now, in_flight):
        self.sent.append(now)
        self.peak = max(self.peak, in_flight)

    def finished(self, attempt, now):
        super().finished(attempt, now)
        self.attempts.append(attempt)

    def tick(self, now):
        self.ticks.append(now)


def figures(tokens_by_second):
    return Figures(0.0, 0.0, 0, 0, 0.0, tokens_by_second, 1, 0.0)


@pytest.mark.parametrize("limit", [1, 8, 32, 64, 200])
def test_a_fixed_limit_at_a_hard_knee_gives_what_theory_says(limit):
    """Goodput is min(L, S) / l0 answers a second, and an attempt takes l0, or L / S of it when L is more."""
    result = play(HARD, Fixed(limit))
    assert result.goodput == pytest.approx(100 * min(limit, 32) / 2.0, rel=0.05)
    assert result.p99 == pytest.approx(2.0 * max(1, limit / 32), rel=0.15)
    assert (result.waste, result.travel) == (0.0, 0.0)


def test_the_oracle_of_a_hard_knee_is_its_places():
    """The sweep finds about as many permits as there are places."""
    found = find_oracle(HARD)
    assert 31 <= found.best.limit <= 34
    assert found.segment_goodput is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_equal_scenarios_and_controllers_give_equal_figures(name):
    """A scenario is the same for the same seed, differs for another, and is played alike every time."""
    scenario = replace(scenario_of(name, 5), seconds=120.0)
    assert scenario_of(name, 5) == scenario_of(name, 5) != scenario_of(name, 6)
    first, second = (play(scenario, CONTROLLERS["aimd-episode"](512)) for _ in range(2))
    assert replace(first, cpu_seconds=0.0) == replace(second, cpu_seconds=0.0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_more_are_in_the_air_than_there_are_permits(name):
    """Permits bound the attempts in the air, all that is heard of is in order, and seconds tick."""
    controller = Watched(40)
    result = play(replace(scenario_of(name, 0), seconds=100.0), controller)
    assert controller.peak == 40
    assert controller.sent == sorted(controller.sent)
    assert result.attempts == len(controller.attempts)
    assert controller.ticks == [float(second) for second in range(1, 100)]


@pytest.mark.parametrize("name", CONTROLLERS)
def test_nobody_sends_before_a_pause_that_was_asked_for_is_over(name):
    """After a 429 with Retry-After no contender sends until it is over."""
    profile = Profile(name="p", step_seconds_floor=0.001, requests_per_minute=120.0, burst_seconds=1.0)
    controller = CONTROLLERS[name](512)
    sent, resume_at = [], 0.0
    hear, send = controller.finished, controller.started

    def finished(attempt, now):
        nonlocal resume_at
        resume_at = max(resume_at, now + (attempt.retry_after or 0.0))
        hear(attempt, now)

    def started(now, in_flight):
        assert now >= resume_at
        sent.append(now)
        send(now, in_flight)

    controller.finished, controller.started = finished, started
    play(Scenario("p", 0, EQUAL, profile, seconds=60.0), controller)
    assert len(sent) > 100
    assert resume_at > 0


def test_a_pace_is_kept_under_the_permit():
    """With a pace as the account's limit nothing is refused, and requests come as fast as the limit."""
    profile = Profile(name="p", step_seconds_floor=0.001, requests_per_minute=600.0, burst_seconds=6.0)
    result = play(Scenario("p", 0, EQUAL, profile, seconds=100.0), Fixed(64, 10.0))
    assert result.wasted == 0
    assert result.attempts == pytest.approx(1000, rel=0.05)


def test_a_plan_changes_the_limit_at_its_moments():
    """A planned limit moves when its time has come, and its travel is counted."""
    result = play(HARD, Planned([(0.0, 8), (100.0, 16), (200.0, 4)]))
    assert result.travel == pytest.approx(1.0 + 0.75)
    assert result.limit_at_end == 4
    assert sum(result.tokens_by_second[110:190]) == pytest.approx(80 * 800, rel=0.05)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((1.0, 1.0, 0.0, 0.0), 100.0),
        ((1.5, 0.5, 0.0, 0.0), 101.2),
        ((0.5, 2.0, 0.05, 0.5), 30 + 7.5 + 7.5 + 5),
        ((0.0, float("inf"), 0.95, 1.0), 0.75),
    ],
)
def test_the_score_on_plain_examples(figures, expected):
    """60 for goodput (to 102 %), 15 for p99, 15 for little waste, 10 for being there soon."""
    assert score(*figures) == pytest.approx(expected)


def test_t90_is_the_end_of_the_first_good_half_minute():
    """The first 30 seconds with 90 % of the goodput count, at their end; the whole run where there are none."""
    assert figures([10] * 60).t90(10.0) == 30.0
    assert figures([0] * 20 + [10] * 60).t90(10.0) == 47.0
    assert figures([5] * 60).t90(10.0) == 60.0


def test_the_lowest_limit_of_the_good_and_quick_is_chosen():
    """Below 98 % of the best does not count; of what is about as quick the lowest limit is taken."""
    tried = [Static(8, None, 97.0, 1.0), Static(16, None, 98.5, 2.0), Static(32, None, 100.0, 1.95)]
    assert choose([*tried, Static(64, None, 100.0, 4.0)]).limit == 16


def test_percentiles():
    """The 99th of a hundred numbers leaves one above it; of none it is 0."""
    numbers = list(range(100))
    random.Random(0).shuffle(numbers)
    assert percentile(numbers, 0.99) == 98
    assert percentile([], 0.99) == 0.0
