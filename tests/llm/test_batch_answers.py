"""Answers to many texts at once: whose is whose, and what each cost."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.completions import Completion
from streamproc.errors import Ambiguous, BadAnswer, ProviderError, ProviderStop
from streamproc.llm.batch_answers import continuations_from, embeddings_from, shares

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=5)
vectors = st.lists(numbers, min_size=1, max_size=8)
counts = st.integers(0, 10**6)


def embedded(data: Any, **rest: Any) -> list[Completion]:
    return embeddings_from(json.dumps({"object": "list", "model": "m-1", "data": data, **rest}).encode(), ["ab", "c"])


@given(vectors, st.randoms(), st.booleans(), counts)
def test_each_text_gets_its_own_vector(given: list[list[float]], dice: Any, packed: bool, tokens: int) -> None:
    """However the answers are ordered, as numbers or in base64, text i gets the vector of index i, and the parts of the
    usage add up to the whole."""

    def written(vector: list[float]) -> Any:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if packed else vector

    data = [{"index": index, "embedding": written(vector)} for index, vector in enumerate(given)]
    dice.shuffle(data)
    body = json.dumps({"model": "m-1", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    answers = embeddings_from(body.encode(), [f"text {index}" for index in range(len(given))])
    assert [list(answer.embedding or ()) for answer in answers] == given
    assert sum(answer.usage.prompt_tokens for answer in answers) == tokens
    assert {(a.text, a.model, a.finish_reason, a.usage.completion_tokens) for a in answers} == {("", "m-1", "stop", 0)}


@given(st.lists(st.text(max_size=8), min_size=1, max_size=8), st.randoms(), counts, counts)
def test_each_text_gets_its_own_continuation(given: list[str], dice: Any, prompt: int, completion: int) -> None:
    """Text i gets the choice of index i, and the parts of the usage add up to the whole."""
    choices = [{"index": i, "text": text, "finish_reason": "length"} for i, text in enumerate(given)]
    dice.shuffle(choices)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    answers = continuations_from(json.dumps({"choices": choices, "usage": usage}).encode(), given)
    assert [answer.text for answer in answers] == given
    assert sum(answer.usage.prompt_tokens for answer in answers) == prompt
    assert sum(answer.usage.completion_tokens for answer in answers) == completion
    assert {answer.finish_reason for answer in answers} == {"length"}


@given(counts, st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_shares_add_up_and_follow_length(total: int, lengths: list[int]) -> None:
    """Parts are whole, add up to the whole, and each is its fair share to within one; an empty text counts as one."""
    parts = shares(total, lengths)
    whole = sum(max(1, length) for length in lengths)
    assert sum(parts) == total
    for part, length in zip(parts, lengths, strict=True):
        assert abs(part - total * max(1, length) / whole) <= 1


@pytest.mark.parametrize(
    "indices", [[], [0], [1], [0, 0], [0, 2], [-1, 0], [0, 1, 2], [0, 1, 1], [0, None], [0, "1"], [0, 1.5]]
)
def test_an_answer_that_is_not_to_each_text_is_none(indices: list[Any]) -> None:
    """Missing, doubled and unknown indices spoil the answer: nobody could tell what the others are worth."""
    with pytest.raises(BadAnswer):
        embedded([{"index": index, "embedding": [1.0]} for index in indices])
    choices = [{"index": index, "text": "t", "finish_reason": "stop"} for index in indices]
    with pytest.raises(BadAnswer):
        continuations_from(json.dumps({"choices": choices}).encode(), ["ab", "c"])


@pytest.mark.parametrize(
    "embedding",
    [None, 1.0, "not base64!", "AAA=", "AADAfw==", ["a"], [None], [[1.0]], {"a": 1}],
    ids=["null", "number", "text", "half a number", "NaN", "texts", "nulls", "nested", "object"],
)
def test_what_is_no_vector_is_no_answer(embedding: Any) -> None:
    """Anything but finite numbers is a bad answer, also within base64."""
    with pytest.raises(BadAnswer):
        embedded([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": embedding}])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BadAnswer),
        (b"<html>", BadAnswer),
        (b'{"data": [', Ambiguous),
        (b'{"error": {"message": "no", "code": "invalid_api_key"}}', ProviderStop),
        (b'{"data": [], "error": {"message": "no", "code": "invalid_api_key"}}', ProviderStop),
    ],
)
def test_errors_are_those_of_any_answer(body: bytes, kind: type[ProviderError]) -> None:
    """Empty, HTML, cut, or an error with a success status: what it is does not depend on what was asked."""
    with pytest.raises(kind):
        embeddings_from(body, ["a"])
    with pytest.raises(kind):
        continuations_from(body, ["a"])
