from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.completions import Completion, Usage
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    ProviderError,
    ProviderStop,
    RateLimited,
    RejectedRequest,
    Unavailable,
)
from streamproc.llm.answer_body import MAX_TOKENS
from streamproc.llm.answers import completion_from


def answer(message: Any = None, choice: Any = None, **more: Any) -> dict[str, Any]:
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", **(message or {})},
                "finish_reason": "stop",
            }
            | (choice or {})
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
    return whole | more


def read(content: Any) -> Completion:
    return completion_from(json.dumps(content).encode())


def test_a_plain_answer() -> None:
    """A chat completion becomes its text, its model, why it stopped, and what it cost."""
    assert read(answer()) == Completion(text="Hi", model="gpt-x", finish_reason="stop", usage=Usage(9, 2))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": "hm", "text": "hm"}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "text", "text": 5}, {"type": "text"}, "x", None], ""),
        ("\u0000\u2028\x1b[31m\U0001f600", "\u0000\u2028\x1b[31m\U0001f600"),
        ("x" * 10_000_000, "x" * 10_000_000),
    ],
    ids=range(9),
)
def test_the_shapes_of_content(content: Any, text: str) -> None:
    """Content is a string, a list of parts or null, and its text is kept to the letter."""
    assert read(answer({"content": content})).text == text


def test_calls_and_refusals_are_kept() -> None:
    """Tool calls are kept as the provider wrote them, and so is a refusal."""
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "new": [1]}]
    called = read(answer({"content": None, "tool_calls": calls}, {"finish_reason": "tool_calls"}))
    assert called.tool_calls == tuple(calls)
    assert called.complete
    assert read(answer({"tool_calls": None})).tool_calls == ()
    assert read(answer({"content": None, "refusal": "I cannot."})).refusal == "I cannot."


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls", "new_reason"])
def test_a_reason_is_kept(reason: str) -> None:
    """A reason to stop is kept in the provider's word, known or not."""
    assert read(answer(choice={"finish_reason": reason})).finish_reason == reason


@pytest.mark.parametrize("reason", [None, "", 5, ["stop"]])
def test_no_reason_is_unknown(reason: Any) -> None:
    """A whole answer that does not say why it stopped is kept, but never as complete."""
    completion = read(answer(choice={"finish_reason": reason}))
    assert (completion.text, completion.finish_reason, completion.complete) == ("Hi", "unknown", False)


@pytest.mark.parametrize("tokens", [None, -1, "9", 1e300, 9.5, True, [], {}, MAX_TOKENS + 1, 10**40, float("nan")])
def test_absurd_counts_are_no_counts(tokens: Any) -> None:
    """A token count that cannot be one is 0, and the answer beside it is kept."""
    completion = read(answer(usage={"prompt_tokens": tokens, "completion_tokens": 2}))
    assert (completion.text, completion.usage) == ("Hi", Usage(0, 2))


@pytest.mark.parametrize("usage", [None, 5, "none", [], [9, 2], {}, {"total_tokens": 11}, float("inf")])
def test_no_usage(usage: Any) -> None:
    """An answer without readable usage is an answer that cost 0 tokens as far as anybody knows."""
    assert read(answer(usage=usage)).usage == Usage(0, 0)


WHOLE = json.dumps(answer()).encode()
LOOSE = [
    (b"\xef\xbb\xbf" + WHOLE, "Hi"),
    (b"\r\n " + WHOLE + b"\n", "Hi"),
    (WHOLE.replace(b'"chatcmpl-1"', b"NaN"), "Hi"),
    (WHOLE.replace(b'"prompt_tokens": 9', b'"prompt_tokens": 1e999'), "Hi"),
    (WHOLE.replace(b'"content": "Hi"', b'"content": "no", "content": "Hi"'), "Hi"),
    (WHOLE.replace(b"Hi", b"a\\ud800b"), "a\ufffdb"),
    (WHOLE.replace(b"Hi", b"\\ud83d\\ude00"), "\U0001f600"),
    (WHOLE.replace(b'"gpt-x"', b"5"), "Hi"),
    (WHOLE.replace(b'"model"', b'"no_model"'), "Hi"),
    (WHOLE.replace(b'"id"', b'"error": null, "id"'), "Hi"),
]


@pytest.mark.parametrize(("body", "text"), LOOSE, ids=range(len(LOOSE)))
def test_loose_json_is_kept(body: bytes, text: str) -> None:
    """A paid answer that is whole but for a detail is kept, and can be stored as UTF-8."""
    completion = completion_from(body)
    assert completion.text == text
    assert completion.text.encode()
    assert completion.model in {"gpt-x", ""}


BAD: list[bytes] = [
    b"",
    b" \r\n\t",
    b"\xef\xbb\xbf",
    b"<!doctype html><title>Log in</title>",
    b" \n<html>\xff",
    b"null",
    b"5",
    b'"choices"',
    b"[]",
    b"{}",
    b'{"message":"hello"}',
    b'{"choices":null}',
    b'{"choices":[]}',
    b'{"choices":{}}',
    b'{"choices":[null]}',
    b'{"choices":[{}]}',
    b'{"choices":[{"message":null}]}',
    b'{"choices":[{"delta":{"content":"Hi"}}]}',
    b'{"choices":[{"message":{"content":5}}]}',
    b'{"choices":[{"message":{"content":{"text":"Hi"}}}]}',
    b'{"choices":[{"message":{"tool_calls":"f"}}]}',
    b'{"choices":[],"error":null}',
]


@pytest.mark.parametrize("body", BAD)
def test_what_is_no_answer(body: bytes) -> None:
    """A whole body that is no chat completion is a bad answer."""
    with pytest.raises(BadAnswer) as caught:
        completion_from(body)
    assert caught.value.status == 200


UNREADABLE: list[bytes] = [
    WHOLE[:-1],
    WHOLE.replace(b"Hi", b"\xff\xfe"),
    WHOLE + b"}",
    WHOLE + WHOLE,
    b"data: " + WHOLE,
    b"OK",
    b"[" * 100_000,
    b'{"choices":' * 100_000,
    b'{"other":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    WHOLE.replace(b'"Hi"', b"[" * 100_000 + b"]" * 100_000),
    WHOLE.replace(b'"Hi"', b"5")[:-1],
    WHOLE.replace(b"9", b"9" * 10_000),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_to_its_end(body: bytes) -> None:
    """A body that is cut, broken or nested without end may have been paid."""
    with pytest.raises(Ambiguous):
        completion_from(body)


def test_a_cut_is_always_seen() -> None:
    """No part of an answer is ever taken for the whole, wherever it was cut."""
    for end in range(1, len(WHOLE)):
        with pytest.raises(Ambiguous):
            completion_from(WHOLE[:end])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"error": {"code": 429, "message": "m"}}, RateLimited),
        ({"error": {"code": 502, "message": "m"}}, Unavailable),
        ({"error": {"code": 400, "message": "m"}}, RejectedRequest),
        ({"error": {"code": "insufficient_quota"}}, ProviderStop),
        ({"error": "overloaded"}, Unavailable),
        ({"error": {"code": 429}, "choices": []}, RateLimited),
        (answer(error={"code": 429}), RateLimited),
        ({"object": "error", "message": "m", "code": 400}, RejectedRequest),
        ([{"error": {"code": 429}}], RateLimited),
        (answer(choice={"finish_reason": "error", "error": {"code": 502, "message": "m"}}), Unavailable),
    ],
)
def test_an_error_in_the_place_of_an_answer(content: Any, kind: type[ProviderError]) -> None:
    """A success status whose body is an error is that error."""
    with pytest.raises(kind) as caught:
        read(content)
    assert type(caught.value) is kind


def attempt(body: bytes) -> None:
    try:
        completion = completion_from(body)
    except ProviderError:
        return
    assert completion.text.encode() or not completion.text
    assert min(completion.usage.prompt_tokens, completion.usage.completion_tokens) >= 0


WORDS = [
    "choices",
    "message",
    "content",
    "tool_calls",
    "refusal",
    "usage",
    "prompt_tokens",
    "error",
    "code",
    "type",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "text", "stop"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.binary())
def test_any_bytes(body: bytes) -> None:
    """Any bytes are a completion or a provider's error, and nothing else comes out."""
    attempt(body)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json(content: Any) -> None:
    """Any JSON is a completion or a provider's error, and nothing else comes out."""
    attempt(json.dumps(content).encode())


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["content", "tool_calls", "refusal"]), JSON), JSON, JSON, JSON)
def test_any_detail(message: dict[str, Any], reason: Any, usage: Any, error: Any) -> None:
    """An answer of the right shape with anything in its details is a completion or a provider's error."""
    attempt(json.dumps(answer(message, {"finish_reason": reason, "error": error}, usage=usage)).encode())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)), st.binary(max_size=6))
def test_any_damage(start: int, end: int, put: bytes) -> None:
    """An answer damaged anywhere is a completion or a provider's error, and nothing else comes out."""
    attempt(WHOLE[:start] + put + WHOLE[end:])


def test_a_tool_call_that_cannot_be_kept_is_a_bad_answer() -> None:
    """A whole number beyond 64 bits, which no cache could hold, costs its record and not the run."""
    call = b'{"choices":[{"message":{"tool_calls":[{"function":{"n":%d}}]},"finish_reason":"tool_calls"}]}'
    assert completion_from(call % 2**63).tool_calls
    with pytest.raises(BadAnswer, match="beyond 64 bits"):
        completion_from(call % 2**70)
