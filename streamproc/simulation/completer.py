"""A model that is not there: answers in this process, as fast and as faulty as a profile says. No HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from streamproc.completions import Completion, Request, Usage
from streamproc.errors import (
    Ambiguous,
    BadAnswer,
    ProviderError,
    RateLimited,
    RejectedRequest,
    Unavailable,
)
from streamproc.llm.batch_answers import shares
from streamproc.simulation.engine import Declined, Engine, Spoiled
from streamproc.simulation.profiles import Profile
from streamproc.simulation.question import MalformedRequest
from streamproc.simulation.service import Rejected
from streamproc.simulation.tally import Figures
from streamproc.simulation.texts import TextKind

A = TypeVar("A")


class SimulatedCompleter:
    """Complete requests as a provider would.

    What `POST` would be sent decides the answer: model, messages or text, and parameters, not the deployment and not
    the draw.

    Args:
        profile: how the endpoint behaves.
        seed: of the lengths of its answers and of its faults.
        deadline_seconds: how long a client waits for one answer; 600 is what OpenAI's own client does.
    """

    def __init__(self, profile: Profile, seed: int = 0, *, deadline_seconds: float = 600.0) -> None:
        self._engine = Engine(profile, seed)
        self._deadline_seconds = deadline_seconds

    async def complete(self, request: Request) -> Completion:
        """Answer one request. On cancellation the endpoint stops working for it.

        Raises:
            RateLimited: a limit of the account, or a fault; with a hint where the profile gives one.
            Unavailable: the queue is full, or a fault.
            Ambiguous: the connection broke, the answer was cut off, or the deadline passed.
            BadAnswer: a page of HTML came instead of an answer.
            RejectedRequest: this is no request that can be answered.
        """
        if request.text is not None:
            return (await self.complete_many((request,)))[0]
        messages = msgspec.to_builtins(request.messages, builtin_types=())
        body: dict[str, Any] = {**request.parameters, "model": request.model, "messages": list(messages)}
        answer = await self._in_time(lambda: self._engine.answer(body))
        return Completion(
            text=answer.text,
            model=answer.model,
            finish_reason=answer.finish_reason,
            usage=Usage(answer.prompt_tokens, answer.completion_tokens),
        )

    async def complete_many(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer many requests as one, see `BatchCompleter`.

        Raises:
            ProviderError: as in `complete`.
        """
        first = requests[0]
        assert first.kind != "chat_completions", "conversations do not travel together"
        field = "input" if first.kind == "embeddings" else "prompt"
        body = {**first.parameters, "model": first.model, field: [request.text for request in requests]}
        kind: TextKind = first.kind
        answers = await self._in_time(lambda: self._engine.answer_texts(body, kind))
        written = [len(answer.text) for answer in answers.answers]
        prompts = shares(answers.prompt_tokens, [len(request.text or "") for request in requests])
        return [
            Completion(
                text=answer.text,
                model=first.model,
                finish_reason=answer.finish_reason,
                usage=Usage(prompt, completion),
                embedding=None if answer.embedding is None else tuple(answer.embedding),
            )
            for answer, prompt, completion in zip(
                answers.answers, prompts, shares(answers.completion_tokens, written), strict=True
            )
        ]

    def figures(self) -> Figures:
        """Give what the endpoint did so far; only while its event loop runs."""
        return self._engine.figures()

    async def _in_time(self, answering: Callable[[], Awaitable[A]]) -> A:
        await anyio.lowlevel.checkpoint()
        try:
            with anyio.fail_after(self._deadline_seconds):
                return await self._mapped(answering)
        except TimeoutError as error:
            raise Ambiguous(f"no answer within {self._deadline_seconds:g} s") from error

    async def _mapped(self, answering: Callable[[], Awaitable[A]]) -> A:
        try:
            return await answering()
        except MalformedRequest as error:
            raise RejectedRequest(str(error), status=400, code="invalid_request") from error
        except Declined as error:
            raise _declined(error.reply) from error
        except Spoiled as error:
            if error.fault == "hang":
                await anyio.sleep_forever()
            if error.fault == "html":
                raise BadAnswer("the endpoint answered with a page of HTML", status=200) from error
            if error.fault == "truncate_body":
                raise Ambiguous("the answer was cut off", status=200) from error
            raise Ambiguous("the connection was reset") from error


def _declined(reply: Rejected) -> ProviderError:
    family = {413: RejectedRequest, 429: RateLimited}.get(reply.status, Unavailable)
    return family(
        f"the simulated endpoint answered {reply.status}",
        status=reply.status,
        retry_after=reply.retry_after,
        code=reply.code,
    )
