import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError
from streamproc.simulation import PROFILES, Profile, profile_named


@pytest.mark.parametrize(
    "name", ["instant", "small-gpu", "hosted", "large-model", "flaky", "demo", "hard-knee", "rate-limited"]
)
def test_every_built_in_profile_is_found_and_survives_encoding(name):
    """A built-in profile is found by its own name, and is plain data."""
    profile = profile_named(name)
    assert profile.name == name
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_an_unknown_profile_is_refused_with_the_known_ones():
    """The message for an unknown profile names those there are."""
    with pytest.raises(ConfigError, match=r"instant.*got 'nope'"):
        profile_named("nope")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttft_seconds", -1.0),
        ("step_seconds_floor", float("nan")),
        ("max_running", 0),
        ("max_queued", -1),
        ("requests_per_minute", 0.0),
        ("burst_seconds", 0.0),
        ("kv_tokens", 0),
        ("max_concurrent", 0),
        ("neighbours", -1),
        ("fault_ratio", {"503": -0.1}),
        ("fault_ratio", {"503": 0.6, "500": 0.6}),
        ("fault_ratio", {"fire": 0.1}),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(field, value):
    """A profile with a number out of its range cannot be made, and the message names the field."""
    with pytest.raises(ConfigError, match=field):
        Profile(name="bad", **{field: value})


@given(st.sampled_from(sorted(PROFILES)), st.integers(1, 500))
def test_more_sequences_never_make_a_step_faster(name, running):
    """A step takes no less time with more sequences, and never so much more that total speed falls."""
    profile = PROFILES[name]
    assert profile.step_seconds(running + 1) >= profile.step_seconds(running)
    assert profile.step_seconds(running + 1) / (running + 1) <= profile.step_seconds(running) / running


def test_the_demo_is_quick_with_128_in_flight():
    """The demo answers some 7,500 requests in ten to twenty seconds with 128 in flight."""
    demo = profile_named("demo")
    mean_tokens = 2.718281828 ** (demo.output_mu + demo.output_sigma**2 / 2)
    seconds_each = demo.ttft_seconds + mean_tokens * demo.step_seconds(128)
    assert 10 <= 7500 * seconds_each / 128 <= 20
