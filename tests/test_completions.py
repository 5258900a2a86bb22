"""The key of a request: equal for equal questions, different for any that could be answered differently."""

import copy
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.completions import CARRIAGE, FINGERPRINT_VERSION, Completion, Message, Request, Usage

texts = st.text(max_size=6)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.one_of(texts, st.lists(st.dictionaries(texts, plain, max_size=2), max_size=2)),
    ),
    max_size=3,
).map(tuple)
rest = {"deployment": texts, "model": texts, "parameters": st.dictionaries(texts, plain, max_size=4), "draw": texts}
requests = st.one_of(
    st.builds(Request, messages=messages, **rest),
    st.builds(Request, kind=st.sampled_from(["completions", "embeddings"]), text=texts, **rest),
)


def exactly(value: Any) -> Any:
    """Give what tells values apart that Python takes for equal: 1, 1.0 and True; -0.0 and 0.0."""
    if isinstance(value, dict):
        return frozenset((key, exactly(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(exactly(item) for item in value)
    return type(value).__name__, repr(value)


def identity(request: Request) -> Any:
    asked = {name: value for name, value in request.parameters.items() if name not in CARRIAGE}
    said = [(message.role, exactly(message.content)) for message in request.messages]
    return request.kind, request.deployment, request.model, tuple(said), request.text, exactly(asked), request.draw


@given(requests, requests, texts, texts)
def test_keys_are_equal_exactly_for_equal_questions(one: Request, other: Request, first: str, second: str) -> None:
    """Two requests have one key if and only if every field that is asked is the same, with its type, and so is the
    sample."""
    equal = identity(one) == identity(other) and first == second
    assert (one.fingerprint(first) == other.fingerprint(second)) == equal


@given(requests, st.data())
def test_any_single_edit_makes_another_key(request: Request, data: st.DataObject) -> None:
    """One field changed, added or removed anywhere, however deep, is another key."""
    edited = copy.deepcopy(msgspec.to_builtins(request))
    spots: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            spots.append((node, key))
            if isinstance(value, dict | list):
                visit(value)

    visit(edited["parameters"])
    spots += [(edited, name) for name in ("deployment", "model", "draw")]
    node, key = data.draw(st.sampled_from(spots))
    new = data.draw(texts if node is edited else plain)
    changed = exactly(node[key]) != exactly(new) and not (node is edited["parameters"] and key in CARRIAGE)
    node[key] = new
    other = msgspec.structs.replace(
        request,
        deployment=edited["deployment"],
        model=edited["model"],
        draw=edited["draw"],
        parameters=edited["parameters"],
    )
    assert (other.fingerprint() != request.fingerprint()) == changed


@given(requests, st.randoms())
def test_the_order_of_parameters_means_nothing(request: Request, dice: random.Random) -> None:
    """However the parameters are ordered, also inside, the key is the same; how the request is carried changes nothing
    either."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            dice.shuffle(items)
            return {key: shuffled(item) for key, item in items}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    carried = shuffled(request.parameters) | dict.fromkeys(CARRIAGE, "whatever")
    assert msgspec.structs.replace(request, parameters=carried).fingerprint() == request.fingerprint()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"stop": "X", "user": "Y"}, {"stop": "Xuser: Y"}),
        ({"n": 1}, {"n": True}),
        ({"n": 1}, {"n": "1"}),
        ({"n": 1}, {"n": 1.0}),
        ({"seed": None}, {}),
        ({"tools": [{"id": "call_1"}]}, {"tools": [{"id": "call_2"}]}),
        ({"max_tokens": 16}, {"max_tokens": 17}),
        ({"a": [["b"], "c"]}, {"a": ["b", ["c"]]}),
    ],
)
def test_what_others_have_mixed_up_is_told_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Pairs that caches in the field gave one key."""
    base = Request(deployment="d", model="m", messages=(Message("user", "q"),))
    keys = {msgspec.structs.replace(base, parameters=parameters).fingerprint() for parameters in (one, other)}
    assert len(keys) == 2


def test_a_key_is_the_same_in_every_release() -> None:
    """This question has had this key since version 2 of the fingerprint; whoever changes it raises the version."""
    request = Request(
        deployment="d", model="m", messages=(Message("user", "q"),), parameters={"temperature": 0.5}, draw="2"
    )
    assert FINGERPRINT_VERSION == 2
    assert request.fingerprint("s") == "1151260f83a6aa59d7c1e728aa774883866946ccf62861b8c4d97a44a53185dd"


@pytest.mark.parametrize(
    "reason", ["stop", "tool_calls", "function_call", "eos", "length", "content_filter", "unknown"]
)
@pytest.mark.parametrize("refusal", [None, "", "I will not"])
@pytest.mark.parametrize("text", ["", "text"])
def test_only_a_whole_answer_may_serve_others(reason: str, refusal: str | None, text: str) -> None:
    """An answer is complete if it ended by itself, says something and is no refusal; whatever is unusable is not."""
    completion = Completion(text=text, model="m", finish_reason=reason, usage=Usage(), refusal=refusal)
    usable = bool(text) and not refusal and reason != "content_filter"
    assert (completion.unusable is None) == usable
    assert completion.complete == (usable and reason not in {"length", "unknown"})


@pytest.mark.parametrize("odd", [object(), object, 1j, {1: object()}])
def test_what_is_no_plain_data_has_no_key(odd: Any) -> None:
    """A parameter that cannot be sent is refused rather than keyed by its address or its looks."""
    request = Request(deployment="d", model="m", messages=(), parameters={"odd": odd})
    with pytest.raises(TypeError):
        request.fingerprint()


@given(requests, requests)
def test_terms_are_all_but_what_is_asked_about(one: Request, other: Request) -> None:
    """Two requests may share a batch if and only if kind, endpoint, model and parameters are the same, with types."""

    def said(request: Request) -> Any:
        return request.kind, request.deployment, request.model, exactly(request.parameters)

    assert (one.terms == other.terms) == (said(one) == said(other))
    assert msgspec.structs.replace(one, draw="another").terms == one.terms


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "t"},
        {"kind": "embeddings"},
        {"kind": "embeddings", "text": "t", "messages": (Message("user", "q"),)},
        {"kind": "completions", "messages": (Message("user", "q"),)},
    ],
)
def test_a_request_is_never_half_of_two_kinds(fields: dict[str, Any]) -> None:
    """A conversation has messages, the other kinds a text: anything else is refused."""
    with pytest.raises(ValueError, match="a request of the kind"):
        Request(deployment="d", model="m", **fields)


def test_an_embedding_is_no_sample() -> None:
    """Whatever the temperature, equal texts may share an embedding; continuations share as conversations do."""
    sampled = [
        Request(deployment="d", model="m", kind=kind, text="t").sampled for kind in ("embeddings", "completions")
    ]
    assert sampled == [False, True]


def test_an_empty_embedding_cannot_be_used() -> None:
    """A vector makes an answer whole, an empty one does not."""
    answers = [
        Completion(text="", model="m", finish_reason="stop", usage=Usage(), embedding=numbers)
        for numbers in ((0.0, 1.0), (), None)
    ]
    assert [answer.complete for answer in answers] == [True, False, False]
    assert [answer.unusable is None for answer in answers] == [True, False, False]
