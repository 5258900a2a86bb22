"""Embeddings and continuations of many texts in one request: shapes, times, bills, limits, and our client's reading."""

import asyncio
import json
import random

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.completions import Request, Usage
from streamproc.errors import Ambiguous, BadAnswer, RejectedRequest, Unavailable
from streamproc.llm.openai import OpenAICompleter
from streamproc.secret import SecretStr
from streamproc.simulation import Profile, SimulatedCompleter, SimulatedServer, profile_named
from streamproc.simulation.virtual_time import run_virtual

INSTANT = profile_named("instant")
texts = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=6, unique=True)


def asked(text, kind="embeddings", **parameters):
    return Request(deployment="d", model="m", kind=kind, text=text, parameters=parameters)


async def post(profile, path, body, **options):
    async with (
        SimulatedServer(profile, **options) as server,
        aiohttp.ClientSession() as client,
        client.post(f"{server.url}/{path}", json=body) as response,
    ):
        return response.status, await response.json(), server.figures()


def test_embeddings_have_openais_shape():
    """A list of vectors, each with the index of its text, and what was read."""
    body = {"model": "m", "input": ["one text", "x"], "dimensions": 3}
    status, answer, figures = asyncio.run(post(INSTANT, "embeddings", body))
    assert status == 200
    assert answer.keys() == {"object", "data", "model", "usage"}
    assert (answer["object"], answer["model"]) == ("list", "m")
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [(one["object"], one["index"], len(one["embedding"])) for one in answer["data"]] == [
        ("embedding", 0, 3),
        ("embedding", 1, 3),
    ]
    assert all(-1 <= number < 1 for one in answer["data"] for number in one["embedding"])
    assert (figures.requests, figures.answered, figures.billed, figures.prompt_tokens) == (1, 1, 2, 3)


def test_continuations_have_openais_shape():
    """A text completion with a choice a text."""
    body = {"model": "m", "prompt": ["One sentence. Two.", "Other."], "max_tokens": 4}
    status, answer, figures = asyncio.run(post(INSTANT, "completions", body))
    assert status == 200
    assert answer["object"] == "text_completion"
    assert [(one["index"], one["text"], one["finish_reason"]) for one in answer["choices"]] == [
        (0, "One sentence.", "length"),
        (1, "Other.", "length"),
    ]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}
    assert (figures.billed, figures.completion_tokens) == (2, 8)


@given(texts, st.randoms(), st.sampled_from(["embeddings", "completions"]))
def test_an_answer_does_not_depend_on_the_company(given, dice, kind):
    """A text alone, and among others in any order, gets the same answer; and each way it is billed as the same."""

    async def main():
        completer = SimulatedCompleter(INSTANT)
        alone = {text: await completer.complete(asked(text, kind)) for text in given}
        shuffled = random.Random(dice.random()).sample(given, len(given))
        together = await completer.complete_many([asked(text, kind) for text in shuffled])
        return alone, dict(zip(shuffled, together, strict=True)), completer.figures()

    alone, together, figures = run_virtual(main())
    for text in given:
        assert together[text].text == alone[text].text
        assert together[text].embedding == alone[text].embedding
        assert together[text].finish_reason == alone[text].finish_reason
        assert (together[text].embedding is not None) == (kind == "embeddings")
    assert (figures.billed, figures.distinct_billed, figures.billed_again) == (2 * len(given), len(given), len(given))
    for count in ("prompt_tokens", "completion_tokens"):
        each, whole = ([getattr(a.usage, count) for a in answers.values()] for answers in (alone, together))
        assert sum(each) == sum(whole)


@pytest.mark.parametrize("count", [1, 10, 500])
def test_a_request_takes_its_overhead_and_each_text_its_share(count):
    """The profile for embeddings: 20 ms a request and 0.2 ms a text, however many requests there are beside it."""

    async def main():
        completer = SimulatedCompleter(profile_named("embeddings"))
        await asyncio.gather(
            *(completer.complete_many([asked(f"{other} {number}") for number in range(count)]) for other in range(3))
        )
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0.02 + 0.0002 * count)


def test_continuations_are_written_beside_each_other():
    """Eight texts take little longer than one, not eight times as long; what they cost is the sum."""

    async def main(count):
        profile = Profile(name="p", ttft_seconds=0.1, step_seconds_floor=0.01, output_mu=3.0, output_sigma=0.0)
        completer = SimulatedCompleter(profile)
        await completer.complete_many([asked(f"text {number}", "completions") for number in range(count)])
        return asyncio.get_running_loop().time(), completer.figures().completion_tokens

    assert run_virtual(main(1)) == (pytest.approx(0.3), 20)
    assert run_virtual(main(8)) == (pytest.approx(0.3), 160)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"input": ["a"] * 4}, 413),
        ({"input": ["a", ""]}, 400),
        ({"input": ["a", "b" * 41]}, 400),
        ({"input": []}, 400),
        ({"input": ["a", 1]}, 400),
        ({"input": 1}, 400),
        ({}, 400),
        ({"input": "a", "model": ""}, 400),
        ({"input": "a", "dimensions": 0}, 400),
        ({"input": ["a", "b", "c" * 40]}, 200),
        ({"input": "a single text"}, 200),
    ],
)
def test_limits_and_mistakes_are_answered_as_such(fields, status):
    """Too many texts get 413; one that is empty, too long or no text spoils the request with 400, and nothing is
    billed."""
    profile = Profile(name="p", max_inputs=3, max_input_tokens=10, output_sigma=0.0)
    got, answer, figures = asyncio.run(post(profile, "embeddings", {"model": "m", **fields}))
    assert got == status
    assert ("error" in answer) == (status != 200)
    assert (figures.billed > 0) == (status == 200)
    assert figures.rejected == ({} if status == 200 else {str(status): 1})


def test_each_text_has_its_line_in_the_ledger(tmp_path):
    """What is billed is written down text by text, so that nothing can be paid twice unseen."""
    body = {"model": "m", "input": ["first", "second"]}
    asyncio.run(post(INSTANT, "embeddings", body, ledger=tmp_path / "ledger"))
    lines = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["first", "second"]
    assert len({line["fingerprint"] for line in lines}) == 2


@pytest.mark.parametrize("kind", ["embeddings", "completions"])
@pytest.mark.parametrize("parameters", [{}, {"encoding_format": "base64"}])
def test_our_client_reads_what_the_endpoint_writes(kind, parameters):
    """Over HTTP, as numbers or in base64, alone or together: the same answers as in this process."""
    parameters = parameters if kind == "embeddings" else {"max_tokens": 3}
    requests = [asked(f"text number {number}. More.", kind, **parameters) for number in range(7)]

    async def main():
        async with (
            SimulatedServer(INSTANT) as server,
            OpenAICompleter(server.url, SecretStr(""), max_connections=2) as client,
        ):
            together = await client.complete_many(requests)
            alone = await client.complete(requests[3])
            figures = server.figures()
        near = await SimulatedCompleter(INSTANT).complete_many(requests)
        return together, alone, near, figures

    together, alone, near, figures = asyncio.run(main())
    assert together == near
    assert (alone.text, alone.embedding) == (near[3].text, near[3].embedding)
    assert figures.requests == 2
    assert sum(answer.usage.prompt_tokens for answer in together) == 7 * 5
    assert alone.usage == Usage(5, 0 if kind == "embeddings" else 3)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("503", Unavailable), ("html", BadAnswer), ("truncate_body", Ambiguous), ("reset_after_work", Ambiguous)],
)
def test_faults_meet_the_whole_request(fault, error):
    """A fault is that of a request, however many texts it carries; finished work is billed for each."""

    async def main():
        profile = Profile(name="faulty", fault_ratio={fault: 1.0}, output_sigma=0.0)
        async with (
            SimulatedServer(profile) as server,
            OpenAICompleter(server.url, SecretStr(""), max_connections=2) as client,
        ):
            with pytest.raises(error):
                await client.complete_many([asked("one"), asked("two")])
            return server.figures()

    figures = asyncio.run(main())
    assert figures.billed == (2 if fault in {"truncate_body", "reset_after_work"} else 0)
    assert figures.answered == 0


def test_a_rejection_is_one_for_the_client_too():
    """413 and 400 reach the pipeline as a rejected request, in this process and over HTTP."""
    profile = Profile(name="p", max_inputs=1)

    async def main():
        for requests in ([asked("a"), asked("b")], [asked("")]):
            with pytest.raises(RejectedRequest):
                await SimulatedCompleter(profile).complete_many(requests)
            async with (
                SimulatedServer(profile) as server,
                OpenAICompleter(server.url, SecretStr(""), max_connections=2) as client,
            ):
                with pytest.raises(RejectedRequest):
                    await client.complete_many(requests)

    asyncio.run(main())
