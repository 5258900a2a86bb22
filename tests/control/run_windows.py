"""Windows of runs, as any and as each limiter makes them."""

from hypothesis import strategies as st

from streamproc.control.diagnosis import Limiter
from streamproc.control.windows import Window

shares = st.floats(0, 1)
counts = st.integers(0, 5000)
any_windows = st.builds(
    Window,
    seconds=st.floats(0.01, 10),
    delivered=counts,
    in_flight=st.floats(0, 600),
    limit=st.integers(1, 600),
    most=st.integers(1, 600),
    adaptive=st.booleans(),
    searching=st.booleans(),
    ceiling=st.none() | st.integers(1, 600),
    down=st.booleans(),
    paced=st.integers(0, 600),
    requests_per_second=st.none() | st.floats(0.01, 1e5),
    tokens_per_second=st.none() | st.floats(0.01, 1e7),
    configured_rate=st.booleans(),
    waiting_calls=counts,
    waiting_records=counts,
    waiting_outcomes=counts,
    span=st.integers(0, 5000),
    span_limit=st.integers(1, 5000),
    lookup_busy=shares,
    sink_busy=shares,
    cores_busy=st.none() | st.floats(0, 4),
    loop_lag_seconds=st.none() | st.floats(0, 2),
    intake_closed=st.booleans(),
)

PLAIN: dict[Limiter, Window] = {
    "source": Window(seconds=1, in_flight=3, limit=64, most=256, span=3, span_limit=2048),
    "cache": Window(seconds=1, limit=64, lookup_busy=0.93, waiting_records=400, span_limit=2048),
    "rate": Window(
        seconds=1, in_flight=9, limit=64, most=256, paced=55, requests_per_second=40, waiting_calls=7, span_limit=2048
    ),
    "capacity": Window(seconds=1, in_flight=31, limit=31, most=256, ceiling=32, waiting_calls=7),
    "goodput": Window(seconds=1, in_flight=64, limit=64, most=256, waiting_calls=7),
    "memory": Window(seconds=1, in_flight=1, limit=64, most=256, span=731, span_limit=1, intake_closed=True),
    "cpu": Window(seconds=1, in_flight=3, limit=64, most=256, cores_busy=0.98, loop_lag_seconds=0.3),
    "sink": Window(seconds=1, limit=64, sink_busy=0.97, waiting_outcomes=1500, span_limit=2048),
    "user": Window(seconds=1, in_flight=16, limit=16, most=16, waiting_calls=7),
}
"""A window of each limiter."""
