"""What limits a run: laws of the diagnosis."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamproc.control.diagnosis import Limiter, diagnose, limiters_of
from streamproc.control.windows import Window
from tests.control.run_windows import PLAIN, any_windows

FIGURES: dict[Limiter, tuple[str, ...]] = {
    "source": ("3 of 64 calls",),
    "cache": ("93%", "400 records wait"),
    "rate": ("55 calls wait", "40 requests/s"),
    "capacity": ("more than 32 calls at once",),
    "goodput": ("more than 64 calls at once",),
    "memory": ("731 records",),
    "cpu": ("0.98 cores",),
    "sink": ("97%", "1500 outcomes wait"),
    "user": ("resources.max_concurrent", "16 calls"),
}


@given(any_windows)
def test_every_window_has_one_limiter_and_a_reason(window: Window) -> None:
    """Whatever was seen, something limits, and the evidence is a phrase with a figure or a state in it."""
    found = diagnose(window)
    assert found.limited_by in get_args(Limiter)
    assert found.evidence == found.evidence.strip() != ""
    assert "None" not in found.evidence
    assert "nan" not in found.evidence
    assert "e+" not in found.evidence


@given(any_windows)
def test_what_is_held_back_for_memory_says_memory(window: Window) -> None:
    """While reading is held back for memory nothing else is blamed; while it is not, memory is not."""
    assert diagnose(replace(window, intake_closed=True)).limited_by == "memory"
    assert diagnose(replace(window, intake_closed=False)).limited_by != "memory"


@given(any_windows.map(lambda window: replace(window, intake_closed=False, cores_busy=None)))
def test_the_model_is_blamed_exactly_while_calls_wait_or_fill_the_limit(window: Window) -> None:
    """Calls that wait, or nearly as many in the air as may be, are the model's; else a part beside it is blamed."""
    busy = window.down or window.waiting_calls > 0 or window.in_flight + window.paced >= 0.8 * window.limit
    assert (diagnose(window).limited_by in {"rate", "capacity", "goodput", "user"}) == busy


@given(any_windows.map(lambda window: replace(window, intake_closed=False, cores_busy=None, down=False)))
def test_a_setting_is_told_from_a_rate_of_the_account(window: Window) -> None:
    """Calls that wait for their turn are held by the account, or by the user where the rate is configured."""
    paced = replace(window, paced=window.limit)
    assert diagnose(replace(paced, configured_rate=False)).limited_by == "rate"
    assert diagnose(replace(paced, configured_rate=True)).limited_by == "user"


@given(st.lists(any_windows, max_size=30))
def test_the_time_is_shared_out_among_the_limiters(windows: list[Window]) -> None:
    """Each window's seconds go to one limiter, none are lost, and the longest comes first."""
    seconds = limiters_of(windows)
    assert sum(seconds.values()) == pytest.approx(sum(window.seconds for window in windows))
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)
    assert set(seconds) == {diagnose(window).limited_by for window in windows}


@pytest.mark.parametrize("limiter", get_args(Limiter))
def test_a_plain_example_of_each(limiter: Limiter) -> None:
    """Each limiter has a window that shows it, and its evidence names the figures."""
    found = diagnose(PLAIN[limiter])
    assert found.limited_by == limiter
    for figure in FIGURES[limiter]:
        assert figure in found.evidence


def test_the_other_ways_to_be_limited() -> None:
    """An outage, a fixed limit, a configured rate, a search that goes on, a core that only writes: each says so."""
    goodput, rate = PLAIN["goodput"], PLAIN["rate"]
    told = {
        "refuses everything": replace(goodput, down=True),
        "fixed at 64": replace(goodput, adaptive=False),
        "64 calls at once, and still growing": replace(goodput, searching=True),
        "40 requests/s and 33333 text tokens/s": replace(rate, tokens_per_second=33_333.3),
        "12346 requests/s": replace(rate, requests_per_second=12_345.6),
    }
    for words, window in told.items():
        assert words in diagnose(window).evidence
    assert diagnose(replace(rate, configured_rate=True)).limited_by == "user"
    assert diagnose(replace(PLAIN["sink"], cores_busy=0.95)).limited_by == "cpu"
