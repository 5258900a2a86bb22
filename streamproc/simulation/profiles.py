"""How a simulated endpoint behaves, as numbers: its speed, its limits and its faults. Knows no clock.

Source of the speeds: step times are
linear-layer fits from Vidur's published profiles (floor, a and b of T = max(floor, a + b*n)) plus 2 ms for sampler,
CPU and all-reduce; attention is c_kv times an assumed 1000 tokens of context a sequence. First-token
overheads are those of llm-d-inference-sim. Output lengths fit the median (129) and the 90th percentile
(424) of the Azure conversation trace by one lognormal.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from msgspec import Struct

from streamproc.errors import ConfigError

Fault = Literal["503", "500", "429", "reset", "hang", "html", "truncate_body", "reset_after_work"]
"""What may go wrong with a request.

`503`, `500`, `429` answer with that status; `reset` drops the connection, `hang` never answers, `html`
answers 200 with a page: none of these works or bills. `truncate_body` and `reset_after_work` spoil an
answer that is finished and billed.
"""


class Profile(Struct, frozen=True, kw_only=True):
    """One endpoint's behaviour. Times are in seconds, lengths in tokens, ratios within 0 to 1.

    Attributes:
        name: what people call it; also the model's name at `GET /v1/models`.
        ttft_seconds: from the start of the work to the first token, beside the reading of the prompt.
        prefill_seconds_per_token: reading one token of a prompt; prompts are read one after another.
        step_seconds_floor: the least time of a decode step, which gives each running sequence a token.
        step_seconds_base: the part of a step that does not depend on how many run.
        step_seconds_per_sequence: what each running sequence adds to a step.
        step_seconds_per_cached_token: what each token in cache memory adds to a step.
        max_running: how many sequences are worked on at once.
        neighbours: sequences of others among these, all the time; they slow the steps too.
        kv_tokens: the cache memory, in tokens of prompts and answers; `None` for more than enough. When it is full, the
            latest sequence loses its place and is read again, with what it has written, before anybody who waits.
        max_concurrent: how many may be worked on or wait; `None` for no limit. One more is answered 429, with no hint.
        ready: whether it serves at all; if not, everything is answered 503.
        max_queued: how many may wait for that; `None` lets any number wait, 0 none. One more is answered 503.
        requests_per_minute: admitted in the long run; `None` for no limit. One more is answered 429.
        tokens_per_minute: the same for prompt and output tokens together.
        burst_seconds: how many seconds' worth of either limit an idle minute saves up.
        retry_after: whether a 429 says how long to wait.
        output_mu: of the natural logarithm of an answer's length before `max_tokens` cuts it.
        output_sigma: its standard deviation; 0 makes all answers equally long.
        fault_ratio: the share of requests that meet each fault; those left out never happen.
        max_inputs: the most texts of a request for embeddings or completions; `None` for no limit. More are answered
            413.
        max_input_tokens: the most tokens of one such text; `None` for no limit. A longer one is answered 400.
        embedding_dimensions: numbers in an embedding, unless the request says how many. An embedding takes the time of
            one decode step.

    Raises:
        ConfigError: a number is out of its range, or the ratios add up to more than 1.
    """

    name: str
    ttft_seconds: float = 0.0
    prefill_seconds_per_token: float = 0.0
    step_seconds_floor: float = 0.0
    step_seconds_base: float = 0.0
    step_seconds_per_sequence: float = 0.0
    step_seconds_per_cached_token: float = 0.0
    max_running: int = 256
    neighbours: int = 0
    kv_tokens: int | None = None
    max_concurrent: int | None = None
    ready: bool = True
    max_queued: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_seconds: float = 6.0
    retry_after: Literal["seconds", "none"] = "seconds"
    output_mu: float = 4.86
    output_sigma: float = 0.93
    fault_ratio: dict[Fault, float] = {}
    max_inputs: int | None = None
    max_input_tokens: int | None = None
    embedding_dimensions: int = 256

    def __post_init__(self) -> None:
        for field in _AT_LEAST_ZERO:
            _require(field, getattr(self, field), at_least=0.0)
        _require("max_running", self.max_running, at_least=1)
        for field in ("max_queued", "neighbours"):
            _require(field, getattr(self, field), at_least=0)
        for field in ("kv_tokens", "max_concurrent", "max_inputs", "max_input_tokens", "embedding_dimensions"):
            _require(field, getattr(self, field), at_least=1)
        for field in ("requests_per_minute", "tokens_per_minute", "burst_seconds"):
            _require(field, getattr(self, field), above=0.0)
        for fault, ratio in self.fault_ratio.items():
            if fault not in get_args(Fault):
                raise ConfigError(f"fault_ratio must name one of {', '.join(get_args(Fault))}, got {fault!r}")
            _require(f"fault_ratio.{fault}", ratio, at_least=0.0)
        if (total := math.fsum(self.fault_ratio.values())) > 1:
            raise ConfigError(f"the ratios of fault_ratio must add up to at most 1, got {total}")

    def step_seconds(self, running: int) -> float:
        """Give the time of one decode step with `running` sequences: each of them gains one token in it.

        What the tokens in cache memory add is not in it.
        """
        return max(self.step_seconds_floor, self.step_seconds_base + self.step_seconds_per_sequence * running)


_AT_LEAST_ZERO = (
    "ttft_seconds",
    "prefill_seconds_per_token",
    "step_seconds_floor",
    "step_seconds_base",
    "step_seconds_per_sequence",
    "step_seconds_per_cached_token",
    "output_mu",
    "output_sigma",
)


def _require(field: str, value: float | None, *, at_least: float = -math.inf, above: float = -math.inf) -> None:
    if value is None:
        return
    if not (math.isfinite(value) and value >= at_least and value > above):
        rule = f"> {above:g}" if math.isfinite(above) else f">= {at_least:g}"
        raise ConfigError(f"{field} must be {rule}, got {value!r}")


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # No time passes: what is left is the cost of the caller and of HTTP.
        Profile(name="instant", max_running=1_000_000, output_mu=3.0, output_sigma=0.0),
        # Llama-3-8B on one A100 (floor 10.0 ms, a 7.7 ms, b 66.1 us, c_kv .09 us), vLLM's unbounded queue.
        Profile(
            name="small-gpu",
            ttft_seconds=0.030,
            prefill_seconds_per_token=66.1e-6,
            step_seconds_floor=0.012,
            step_seconds_base=0.0097,
            step_seconds_per_sequence=156.1e-6,
            max_running=256,
        ),
        # A 70B model on eight H100 (floor 8.4 ms, a 8.0 ms, b 28 us, c_kv .018 us) behind account limits.
        # The limits are invented: about equally tight for a conversation of 330 tokens.
        Profile(
            name="hosted",
            ttft_seconds=0.080,
            prefill_seconds_per_token=28.0e-6,
            step_seconds_floor=0.0104,
            step_seconds_base=0.010,
            step_seconds_per_sequence=46.0e-6,
            max_running=1024,
            requests_per_minute=600.0,
            tokens_per_minute=200_000.0,
        ),
        # A 70B model on four H100 (floor 14.7 ms, a 10.1 ms, b 52.3 us, c_kv .035 us), its queue bounded.
        Profile(
            name="large-model",
            ttft_seconds=0.080,
            prefill_seconds_per_token=52.3e-6,
            step_seconds_floor=0.0167,
            step_seconds_base=0.0121,
            step_seconds_per_sequence=87.3e-6,
            max_running=128,
            max_queued=256,
        ),
        # Invented, to tune concurrency on: no faster with more than 64 in flight, and it never refuses.
        Profile(
            name="hard-knee",
            ttft_seconds=0.050,
            step_seconds_floor=0.015,
            max_running=64,
            output_mu=4.0,
            output_sigma=0.5,
        ),
        # Invented: quick, but for an account with 600 requests a minute.
        Profile(
            name="rate-limited",
            ttft_seconds=0.050,
            step_seconds_floor=0.010,
            max_running=1024,
            requests_per_minute=600.0,
            output_mu=4.0,
            output_sigma=0.5,
        ),
        # Quick, and about one request in twelve goes wrong, in every way there is.
        Profile(
            name="flaky",
            ttft_seconds=0.010,
            step_seconds_floor=0.002,
            output_mu=3.0,
            output_sigma=0.4,
            fault_ratio={
                "503": 0.02,
                "500": 0.01,
                "429": 0.01,
                "reset": 0.01,
                "hang": 0.005,
                "html": 0.01,
                "truncate_body": 0.01,
                "reset_after_work": 0.005,
            },
        ),
        # Embeddings: 20 ms a request and 0.2 ms a text; the limits are OpenAI's.
        Profile(
            name="embeddings",
            ttft_seconds=0.020,
            step_seconds_floor=0.0002,
            max_inputs=2048,
            max_input_tokens=8192,
        ),
        # Invented, to be watched: about 250 answers a second with 64 requests in flight, so 4000 take 16 s.
        Profile(
            name="demo",
            ttft_seconds=0.030,
            step_seconds_floor=0.004,
            step_seconds_base=0.002,
            step_seconds_per_sequence=50.0e-6,
            max_running=192,
            output_mu=3.0,
            output_sigma=0.4,
            fault_ratio={"503": 0.005},
        ),
    )
}
"""The built-in profiles by name."""


def profile_named(name: str) -> Profile:
    """Find a built-in profile.

    Raises:
        ConfigError: there is none of that name; the message lists those there are.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ConfigError(f"profile must be one of {', '.join(PROFILES)}, got {name!r}") from None
