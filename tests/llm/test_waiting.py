from __future__ import annotations

import math
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.llm.waiting import requested_wait, retry_after

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HALF_A_MINUTE_LATER = "Sun, 06 Nov 1994 08:50:07 GMT"


def gemini(delay: Any) -> dict[str, Any]:
    return {"error": {"code": 429, "details": [{"@type": "Help"}, {"@type": "RetryInfo", "retryDelay": delay}]}}


ROWS: list[tuple[dict[str, str], Any, float | None]] = [
    ({}, None, None),
    # retry-after-ms
    ({"retry-after-ms": "1500"}, None, 1.5),
    ({"retry-after-ms": "12.5", "retry-after": "9"}, None, 0.0125),
    ({"retry-after-ms": "soon", "retry-after": "9"}, None, 9.0),
    # retry-after in seconds
    ({"retry-after": "30"}, None, 30.0),
    ({"retry-after": " 0.5 "}, None, 0.5),
    ({"retry-after": ".5"}, None, 0.5),
    ({"retry-after": "0"}, None, 0.0),
    ({"retry-after": "1e9"}, None, 1e9),
    ({"retry-after": "2", "x-ratelimit-reset-requests": "60s"}, gemini("34s"), 2.0),
    # no number that anybody can wait for
    ({"retry-after": "NaN"}, None, None),
    ({"retry-after": "inf"}, None, None),
    ({"retry-after": "-1"}, None, None),
    ({"retry-after": "1e999"}, None, None),
    ({"retry-after": "1_000"}, None, None),
    ({"retry-after": "\u0663"}, None, None),
    ({"retry-after": ""}, None, None),
    ({"retry-after": "9" * 100_000}, None, None),
    ({"retry-after": "0" * 100_000 + "5"}, None, None),
    ({"retry-after": "-1", "x-ratelimit-reset-tokens": "3s"}, None, 3.0),
    # retry-after as a date, in the three forms of RFC 9110
    ({"retry-after": HALF_A_MINUTE_LATER, "date": DATE}, None, 30.0),
    ({"retry-after": "Sunday, 06-Nov-94 08:50:07 GMT", "date": DATE}, None, 30.0),
    ({"retry-after": "Sun Nov  6 08:50:07 1994", "date": DATE}, None, 30.0),
    ({"retry-after": DATE, "date": DATE}, None, 0.0),
    ({"retry-after": HALF_A_MINUTE_LATER}, None, None),
    ({"retry-after": DATE, "date": HALF_A_MINUTE_LATER}, None, None),
    ({"retry-after": HALF_A_MINUTE_LATER, "date": "yesterday"}, None, None),
    ({"retry-after": "99999999999999999999 Nov 1994 08:50:07 GMT", "date": DATE}, None, None),
    ({"retry-after": "Sun, 99 Nov 1994 08:50:07 GMT", "date": DATE}, None, None),
    # durations of OpenAI and Groq
    ({"x-ratelimit-reset-requests": "6m0s"}, None, 360.0),
    ({"x-ratelimit-reset-requests": "1s"}, None, 1.0),
    ({"x-ratelimit-reset-requests": "12ms"}, None, 0.012),
    ({"x-ratelimit-reset-tokens": "2m59.56s"}, None, 179.56),
    ({"x-ratelimit-reset-tokens": "1h1m1s"}, None, 3661.0),
    ({"x-ratelimit-reset-tokens": "1d"}, None, 86400.0),
    ({"x-ratelimit-reset-tokens": "7"}, None, 7.0),
    ({"x-ratelimit-reset-tokens": "7.5"}, None, 7.5),
    ({"x-ratelimit-reset-tokens": "6 apples"}, None, None),
    ({"x-ratelimit-reset-tokens": "-6s"}, None, None),
    ({"x-ratelimit-reset-tokens": "1s" * 50_000}, None, None),
    # only a spent quota asks for a wait; where none says what is left, the longer
    ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, None, 360.0),
    (
        {
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-remaining-tokens": "149984",
        },
        None,
        1.0,
    ),
    (
        {
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-remaining-tokens": "0",
        },
        None,
        360.0,
    ),
    ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "59"}, None, None),
    ({"x-ratelimit-reset-requests": "soon", "x-ratelimit-reset-tokens": "2s"}, None, 2.0),
    ({"x-ratelimit-reset-tokens_usage_based": "8s"}, None, 8.0),
    # moments of Anthropic
    ({"anthropic-ratelimit-requests-reset": "1994-11-06T08:50:07Z", "date": DATE}, None, 30.0),
    ({"anthropic-ratelimit-input-tokens-reset": "1994-11-06T09:50:07+01:00", "date": DATE}, None, 30.0),
    ({"anthropic-ratelimit-requests-reset": "1994-11-06T08:50:07Z"}, None, None),
    ({"anthropic-ratelimit-requests-reset": "1994-11-06T08:50:07", "date": DATE}, None, None),
    ({"anthropic-ratelimit-requests-reset": "9999-99-99T08:50:07Z", "date": DATE}, None, None),
    (
        {
            "anthropic-ratelimit-requests-reset": "1994-11-06T08:50:07Z",
            "anthropic-ratelimit-requests-remaining": "50",
            "anthropic-ratelimit-tokens-reset": "1994-11-06T08:49:40Z",
            "anthropic-ratelimit-tokens-remaining": "0",
            "date": DATE,
        },
        None,
        3.0,
    ),
    # Gemini's body
    ({}, gemini("34s"), 34.0),
    ({}, [gemini("34.074s")], 34.074),
    ({}, gemini("soon"), None),
    ({}, gemini(34), None),
    ({}, {"error": {"details": "none"}}, None),
    ({}, {"error": "retry in 34s"}, None),
    ({}, [], None),
]


@pytest.mark.parametrize(("headers", "body", "seconds"), ROWS)
def test_what_providers_send(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    """Every way to ask for a wait is read as seconds from the response, the most exact one first."""
    assert requested_wait(headers, body) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("name", ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"])
def test_retry_after_alone(name: str) -> None:
    """`retry_after` sees the two headers that mean this response, and no quota."""
    assert retry_after({name: "1s"}) is None
    assert retry_after({name: "1s", "retry-after": "4"}) == 4.0


NAMES = st.sampled_from(
    [
        "retry-after-ms",
        "retry-after",
        "date",
        "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-remaining",
    ]
)
VALUES = (
    st.text()
    | st.floats().map(str)
    | st.integers().map(str)
    | st.from_regex(r"([0-9]{1,4}(\.[0-9]+)?(ms|s|m|h|d)){1,3}", fullmatch=True)
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.from_regex(
        r"Sun, [0-9]{1,3} (Jan|Feb|Nov) [0-9]{1,5} [0-9]{1,3}:[0-9]{2}(:[0-9]{2})? ?(GMT|[+-][0-9]{1,12})?",
        fullmatch=True,
    )
    | st.sampled_from([DATE, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
)
HEADERS = st.dictionaries(NAMES | st.text(), VALUES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "details", "retryDelay"]), inner)
        | inner.map(gemini)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(HEADERS, JSON)
def test_any_input_gives_a_wait_that_can_be_slept(headers: dict[str, str], body: Any) -> None:
    """Whatever a provider sends, reading it never raises, and the wait is never negative, infinite or NaN."""
    for wait in (requested_wait(headers, body), retry_after(headers)):
        assert wait is None or (math.isfinite(wait) and wait >= 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=-(10**9), max_value=10**9), st.integers(min_value=0, max_value=10**6))
def test_clock_skew_cancels(skew: int, seconds: int) -> None:
    """A date asks for the same wait however wrong the provider's clock is."""
    base = 2 * 10**9 + skew
    headers = {"date": formatdate(base, usegmt=True), "retry-after": formatdate(base + seconds, usegmt=True)}
    assert requested_wait(headers) == seconds
