"""The debug log of a run: each attempt can be followed, no word that is asked or answered is told, off it is free."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from streamproc import Completion, LlmConfig, PipelineConfig, Request, Task, Usage
from streamproc._log import OFF
from streamproc.errors import ProviderError, RejectedRequest, Unavailable
from streamproc.llm.completer import BatchCompleter
from streamproc.llm.endpoint import Resends, TellsLimits
from streamproc.pipeline import pipeline as module
from streamproc.pipeline.debug_log import MOST_REMEMBERED, ToldBatchCompleter, ToldCompleter
from streamproc.simulation.virtual_time import run_virtual
from tests.pipeline.scenes import Echo, config, play


class Flaky:
    """Fails as it is told, attempt by attempt, then answers."""

    def __init__(self, *errors: ProviderError) -> None:
        self._errors = list(errors)

    async def complete(self, request: Request) -> Completion:
        await anyio.sleep(0.5)
        if self._errors:
            raise self._errors.pop(0)
        return Completion(text="ok", model="m", finish_reason="stop", usage=Usage(3, 1))

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        answer = await self.complete(requests[0])
        return [msgspec.structs.replace(answer, embedding=(1.0,)) for _ in requests]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "streamproc"):
        yield caplog


def events(caplog: pytest.LogCaptureFixture, *names: str) -> list[dict[str, Any]]:
    found = [{"event": entry.getMessage(), **vars(entry)} for entry in caplog.records]
    return [entry for entry in found if entry["event"] in names]


def test_an_attempt_can_be_followed(told: pytest.LogCaptureFixture) -> None:
    """A record's request, its attempts, why each failed and how long was waited, all under the same digits."""
    play(1, config(), Flaky(Unavailable("down", status=503, code="busy", retry_after=7.0)))
    names = ("record.rendered", "attempt.sent", "attempt.failed", "attempt.again", "attempt.answered")
    found = events(told, *names)
    assert [each["event"] for each in found] == [names[0], names[1], names[2], names[3], names[1], names[4]]
    assert len({each["request"] for each in found}) == 1
    assert len(found[0]["request"]) == 12
    rendered, sent, failed, again, second, answered = found
    assert rendered["id"] == "0"
    assert (sent["attempt"], sent["call"], sent["bytes"] > 20) == (1, "chat_completions", True)
    assert (failed["error"], failed["status"], failed["code"], failed["seconds"]) == ("unavailable", 503, "busy", 0.5)
    assert (again["error"], again["asked_to_wait"], again["attempts"]) == ("unavailable", 7.0, 1)
    assert again["delay"] >= 7
    assert second["attempt"] == answered["attempt"] == 2
    assert (answered["prompt_tokens"], answered["completion_tokens"], answered["finish_reason"]) == (3, 1, "stop")


def test_readings_lookups_and_commits_are_told(told: pytest.LogCaptureFixture) -> None:
    """How many rows were read, found in the cache, kept there and committed adds up to the input."""
    play(25, config())
    assert sum(each["rows"] for each in events(told, "source.read")) == 25
    assert sum(each["answers"] for each in events(told, "cache.kept")) == 25
    assert sum(each["rows"] for each in events(told, "sink.committed")) == 25
    assert {each["hits"] for each in events(told, "cache.looked_up")} == {0}


def test_a_record_that_fails_is_named(told: pytest.LogCaptureFixture) -> None:
    """Its id, kind, status and the provider's message; of user code's exception only its class and place."""
    play(1, config(), Flaky(RejectedRequest("too long", status=400)))
    (failed,) = events(told, "record.failed")
    assert (failed["id"], failed["type"], failed["reason"], failed["status"]) == ("0", "rejected", "too long", 400)

    def parse(completion: Completion) -> None:
        raise ValueError(f"quoted: {completion.text}")

    told.clear()
    settings = config()
    play(1, settings, Echo(), task=Task(lambda record: settings.request(record.data["text"]), parse))
    (failed,), (raised,) = events(told, "record.failed"), events(told, "user_code.raised")
    assert (failed["type"], failed["reason"]) == ("parse_failed", "ValueError")
    assert (raised["raised"], "test_debug_log.py" in raised["trace"]) == ("ValueError", True)


@pytest.mark.parametrize("shown", [False, True])
def test_words_are_told_on_demand_only(told: pytest.LogCaptureFixture, shown: bool) -> None:
    """Prompts, answers and what user code says about them go to a logger of their own, which is off until it is set."""

    def parse(completion: Completion) -> None:
        raise ValueError(f"quoted: {completion.text}")

    bodies = logging.getLogger("streamproc.bodies")
    assert bodies.level == OFF
    settings = config()
    with told.at_level(logging.DEBUG if shown else OFF, "streamproc.bodies"):
        play(1, settings, Echo(), task=Task(lambda record: settings.request(f"SECRET-{record.id}"), parse))
    text = str([vars(entry) for entry in told.records])
    assert ("SECRET-0" in text, "quoted: ok" in text) == (shown, shown)


def test_many_texts_are_one_attempt(told: pytest.LogCaptureFixture) -> None:
    """A batch is told as one attempt with so many texts."""
    llm = LlmConfig(model="m", prompt="{{ text }}", endpoint="embeddings", base_url="http://127.0.0.1:1/v1")
    play(30, PipelineConfig(llm=llm, resources=config().resources), Flaky(Unavailable("down", status=503)))
    sent, answered = events(told, "attempt.sent"), events(told, "attempt.answered")
    assert {each["call"] for each in sent} == {"embeddings"}
    assert sum(each["texts"] for each in answered) == 30
    assert len(sent) == len(answered) + 1


def test_nothing_is_wrapped_while_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a debug log a run works with the very parts that it was given, so it costs nothing."""
    seen: list[tuple[Any, Any]] = []
    original = module.told
    monkeypatch.setattr(module, "told", lambda parts: seen.append((parts, original(parts))) or parts)
    play(1, config())
    ((parts, given),) = seen
    assert given is parts


def test_a_wrapper_can_what_its_completer_can(told: pytest.LogCaptureFixture) -> None:
    """Limits, batches and resending pass through; an attempt that is cut off is told; what is remembered is bounded."""
    assert isinstance(ToldBatchCompleter(Flaky()), BatchCompleter)
    assert not isinstance(ToldCompleter(Echo()), BatchCompleter)
    assert isinstance(ToldCompleter(Echo()), TellsLimits)
    assert ToldCompleter(Echo()).limits is None
    assert isinstance(ToldCompleter(Echo()), Resends)
    stale = Echo()
    stale.resent = 3  # type: ignore[attr-defined]
    assert (ToldCompleter(stale).resent, ToldCompleter(Echo()).resent) == (3, 0)
    wrapper = ToldCompleter(Flaky(*[Unavailable("no")] * (MOST_REMEMBERED + 5)))

    async def cut_off() -> None:
        with anyio.move_on_after(0.1):
            await wrapper.complete(config().request("cut off"))

    run_virtual(cut_off())
    assert [each["error"] for each in events(told, "attempt.failed")] == ["CancelledError"]

    async def main() -> None:
        for number in range(MOST_REMEMBERED + 5):
            with pytest.raises(Unavailable):
                await wrapper.complete(config().request(f"{number}"))

    with told.at_level(logging.INFO, "streamproc"):
        run_virtual(main())
    assert len(wrapper._attempts) == MOST_REMEMBERED
