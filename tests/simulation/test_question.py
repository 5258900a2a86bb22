import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.simulation.profiles import Profile, profile_named
from streamproc.simulation.question import MalformedRequest, draw_output_tokens, read_question, word_answer


@given(st.text(max_size=400), st.integers(1, 50))
def test_an_answer_fits_its_tokens_and_is_never_empty(prompt, tokens):
    """An answer has between one and four characters a token, for any prompt."""
    assert 1 <= len(word_answer(prompt, tokens)) <= 4 * tokens


@given(st.permutations(["model", "messages", "temperature"]), st.floats(0, 1))
def test_the_order_of_keys_does_not_matter_and_values_do(order, temperature):
    """Equal bodies have equal fingerprints in any order of keys, and a changed parameter changes it."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": temperature}
    shuffled = {key: body[key] for key in order}
    assert read_question(shuffled).fingerprint == read_question(body).fingerprint
    assert read_question(body | {"temperature": 2}).fingerprint != read_question(body).fingerprint


def test_lengths_follow_the_profile():
    """Drawn lengths have the profile's median, and depend on the seed and the request alone."""
    profile = profile_named("small-gpu")
    drawn = sorted(draw_output_tokens(profile, 7, f"{number:032x}") for number in range(2001))
    assert math.log(drawn[1000]) == pytest.approx(profile.output_mu, abs=0.1)
    assert draw_output_tokens(profile, 7, "a") == draw_output_tokens(profile, 7, "a")
    assert draw_output_tokens(Profile(name="p", output_mu=0.0, output_sigma=0.0), 1, "a") == 1


def test_the_answer_is_the_first_sentence_of_the_last_paragraph():
    """Instructions before a blank line do not hide the record's own text."""
    prompt = "Summarise this in one line.\n\nThe harbour froze early.  Ships waited. Nobody left."
    assert word_answer(prompt, 100) == "The harbour froze early."
    assert word_answer(prompt, 3) == "The harbour"


def test_the_last_user_message_and_all_characters_count():
    """The prompt is the last message of the user; the tokens count every message, and text parts as text."""
    question = read_question(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "12345678"},
                {"role": "user", "content": [{"type": "text", "text": "1234"}, {"type": "image_url"}]},
                {"role": "assistant", "content": None, "tool_calls": []},
            ],
            "max_tokens": 9,
        }
    )
    assert (question.prompt, question.prompt_tokens, question.max_tokens) == ("1234", 3, 9)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": ["x"]}, r"messages\[0\]"),
        ({"model": "m", "messages": [{"role": "user", "content": 3}]}, r"messages\[0\].content"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_a_malformed_body_is_refused_by_field(body, field):
    """What is no chat request is refused, and the message names the field."""
    with pytest.raises(MalformedRequest, match=field):
        read_question(body)
