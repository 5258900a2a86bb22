"""Rate limits as headers tell them: what providers send, and what nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.llm.rate_limits import RateLimits, told_limits

names = st.sampled_from(
    [
        *(f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")),
        *(f"anthropic-ratelimit-{unit}-limit" for unit in ("requests", "tokens")),
    ]
)
likely = st.one_of(
    st.integers(-10, 10**15).map(str), st.floats().map(str), st.sampled_from(["", " 60 ", "6m0s", "1e999", "٣", "1_0"])
)


@given(st.dictionaries(names, st.one_of(likely, st.text(max_size=80))))
def test_no_header_raises_and_no_limit_is_below_one(headers: dict[str, str]) -> None:
    """Whatever is sent, what is read is nothing, or limits of at least 1."""
    told = told_limits(headers)
    if told is not None:
        limits = [limit for limit in (told.requests_per_minute, told.tokens_per_minute) if limit is not None]
        assert limits
        assert all(1 <= limit < 1e12 for limit in limits)


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True), st.sampled_from([1.0, 6.0, 60.0]))
def test_a_limit_that_fills_up_within_a_minute_is_read(limit: int, left_share: float, period: float) -> None:
    """What is left and how long it takes to fill up agree with a minute or less: the limit is one by the minute."""
    left = int(limit * left_share)
    headers = {
        "x-ratelimit-limit-tokens": str(limit),
        "x-ratelimit-remaining-tokens": str(left),
        "x-ratelimit-reset-tokens": f"{period * (limit - left) / limit:.6f}s",
    }
    assert told_limits(headers) == RateLimits(None, float(limit))


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True), st.floats(3600, 86400 * 31))
def test_a_limit_by_the_day_is_none(limit: int, left_share: float, period: float) -> None:
    """What takes an hour or more to fill up is no limit by the minute."""
    left = int(limit * left_share)
    headers = {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": f"{period * (limit - left) / limit:.6f}s",
    }
    assert told_limits(headers) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "10000",
                "x-ratelimit-limit-tokens": "2000000",
                "x-ratelimit-remaining-requests": "9999",
                "x-ratelimit-remaining-tokens": "1999984",
                "x-ratelimit-reset-requests": "6ms",
                "x-ratelimit-reset-tokens": "0s",
            },
            RateLimits(10_000.0, 2_000_000.0),
            id="OpenAI",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "200",
                "x-ratelimit-remaining-requests": "199",
                "x-ratelimit-reset-requests": "7m12s",
            },
            None,
            id="OpenAI, by the day",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "14400",
                "x-ratelimit-limit-tokens": "18000",
                "x-ratelimit-remaining-requests": "14370",
                "x-ratelimit-remaining-tokens": "17997",
                "x-ratelimit-reset-requests": "2m59.56s",
                "x-ratelimit-reset-tokens": "7.66ms",
            },
            RateLimits(None, 18_000.0),
            id="Groq: requests by the day, tokens by the minute",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "60",
                "x-ratelimit-reset-requests": "0s",
            },
            RateLimits(60.0, None),
            id="nothing used yet",
        ),
        pytest.param(
            {"x-ratelimit-limit-requests": "0", "x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1"},
            None,
            id="Azure",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-01-27T16:24:43Z",
                "anthropic-ratelimit-tokens-limit": "40000",
            },
            RateLimits(50.0, 40_000.0),
            id="Anthropic",
        ),
    ],
)
def test_what_providers_send(headers: dict[str, str], expected: RateLimits | None) -> None:
    """The headers of the providers' own documents."""
    assert told_limits(headers) == expected
