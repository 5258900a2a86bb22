"""Whatever bytes come back, reading them ends in a completion or in one of our errors."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamproc.completions import Completion
from streamproc.errors import ProviderError
from streamproc.llm.answers import completion_from
from streamproc.llm.batch_answers import continuations_from, embeddings_from
from streamproc.llm.capped_body import CappedBody
from streamproc.llm.rate_limits import LIMIT_HEADERS, told_limits, unsure_of_period
from streamproc.llm.waiting import requested_wait

CHAT = json.dumps(
    {
        "id": "1",
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi \ud83d\ude00"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2},
    }
).encode()
VECTORS = json.dumps({"data": [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": "AACAPw=="}]}).encode()
TEXTS = json.dumps({"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}], "usage": {}}).encode()


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """A body with some bytes replaced, cut out or doubled."""
    body = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        until = draw(st.integers(at, min(len(body), at + 20)))
        odd = st.sampled_from(
            [b"null", b"[", b"{", b'"', b"NaN", b"1e999", b"\\ud800", b"\xff", b"-1", b"true", b"[]", b"{}"]
        )
        body[at:until] = draw(st.one_of(st.binary(max_size=8), odd, st.just(bytes(body[at:until]) * 2)))
    return bytes(body)


@settings(max_examples=400)
@given(st.one_of(st.binary(), mutated(CHAT), mutated(VECTORS), mutated(TEXTS)))
@example(b"[" * 100_000)
def test_any_body_is_an_answer_or_an_error_of_ours(body: bytes) -> None:
    """Arbitrary bytes and answers that were tampered with give completions that can be stored, or a `ProviderError`."""
    readers = (
        lambda: [completion_from(body)],
        lambda: embeddings_from(body, ["x", "y"]),
        lambda: continuations_from(body, ["x", "y"]),
    )
    for read in readers:
        try:
            completions = read()
        except ProviderError:
            continue
        assert all(isinstance(completion, Completion) for completion in completions)
        for completion in completions:
            assert completion.text.encode() is not None
            assert min(completion.usage.prompt_tokens, completion.usage.completion_tokens) >= 0


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKED = [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("identity", bytes)]


@given(st.binary(max_size=5000), st.sampled_from(PACKED), st.integers(1, 700), st.integers(0, 6000))
def test_a_body_is_taken_in_whole_or_not_at_all(
    body: bytes, how: tuple[str, Callable[[bytes], bytes]], step: int, most: int
) -> None:
    """In whatever pieces it arrives, a body within the cap comes out as it went in; one beyond it, or cut, is an error,
    and what is held never exceeds the cap by more than a byte or a piece."""
    encoding, pack = how
    packed = pack(body)
    capped = CappedBody(most, encoding)
    try:
        for at in range(0, len(packed), step):
            capped.feed(packed[at : at + step])
        assert capped.whole() == body
        assert len(body) <= most
    except ProviderError:
        assert len(body) > most
    assert len(capped.so_far()) <= most


@given(
    st.binary(min_size=1, max_size=3000),
    st.sampled_from(["gzip", "deflate", "x-gzip", "br", "zstd", "gzip, br", "", "é"]),
)
def test_what_says_that_it_is_compressed_may_be_anything(body: bytes, encoding: str) -> None:
    """Bytes under any encoding are read, or an error of ours."""
    with suppress(ProviderError):
        capped = CappedBody(10_000, encoding)
        capped.feed(body)
        capped.whole()


@given(st.binary(min_size=30, max_size=300), st.integers(1, 20))
def test_a_compressed_body_that_was_cut_is_no_answer(body: bytes, missing: int) -> None:
    """Without its end a compressed body is never taken for whole."""
    capped = CappedBody(10_000, "gzip")
    capped.feed(gzip.compress(body)[:-missing])
    with pytest.raises(ProviderError):
        capped.whole()


@pytest.mark.parametrize(("encoding", "pack"), PACKED[:3])
def test_a_bomb_is_not_inflated_beyond_the_cap(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Of 64 MiB in one piece of some 60 kB no more is ever held than the cap allows."""
    bomb = pack(bytes(64 << 20))
    capped = CappedBody(1 << 20, encoding)
    tracemalloc.start()
    try:
        with pytest.raises(ProviderError):
            capped.feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("encoding", "pack"), PACKED[:3])
def test_what_follows_the_end_of_a_compressed_body_is_not_collected(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """A stream that ends soon and a body that does not: it is an error at the first piece beyond, of which nothing is
    kept."""
    capped = CappedBody(10_000, encoding)
    capped.feed(pack(b"{}"))
    with pytest.raises(ProviderError, match="not compressed as it says"):
        capped.feed(bytes(1000))
    assert capped.so_far() == b"{}"


NAMES = st.sampled_from(
    [
        *LIMIT_HEADERS,
        *("retry-after", "retry-after-ms", "date", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        *("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-reset"),
        *("anthropic-ratelimit-tokens-remaining", "x-ratelimit-reset-", "anthropic-ratelimit--reset"),
    ]
)
VALUES = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"\A[0-9.eE+-]{1,70}\Z"),
    st.from_regex(r"\A([0-9]{1,4}(ms|s|m|h|d|ns)){1,4}\Z"),
    st.sampled_from(
        ["NaN", "inf", "-1", "1e9", "1e400", "Wed, 21 Oct 2015 07:28:00 GMT", "9999-12-31T23:59:59Z", "-0", ""]
    ),
)


@settings(max_examples=400)
@given(st.dictionaries(NAMES, VALUES))
def test_any_headers_are_read(headers: dict[str, str]) -> None:
    """Whatever stands in headers about waits and limits: a wait is finite and not negative, a limit at least 1."""
    wait = requested_wait(headers)
    assert wait is None or 0 <= wait < float("inf")
    limits = told_limits(headers)
    if limits is not None:
        for limit in (limits.requests_per_minute, limits.tokens_per_minute):
            assert limit is None or 1 <= limit < 1e13
    unsure_of_period(headers)
