"""A model that is not there: answers in this process, as fast and as faulty as a profile says. No HTTP."""

from __future__ import annotations

from typing import Any

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
from streamproc.simulation.engine import Answer, Declined, Engine, Spoiled
from streamproc.simulation.profiles import Profile
from streamproc.simulation.question import MalformedRequest
from streamproc.simulation.service import Rejected
from streamproc.simulation.tally import Figures


class SimulatedCompleter:
    """Complete requests as a provider would.

    What `POST /v1/chat/completions` would be sent decides the answer: model, messages and parameters, not the
    deployment and not the draw.

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
            RejectedRequest: this is no chat request.
        """
        await anyio.lowlevel.checkpoint()
        try:
            with anyio.fail_after(self._deadline_seconds):
                answer = await self._answer(request)
        except TimeoutError as error:
            raise Ambiguous(f"no answer within {self._deadline_seconds:g} s") from error
        return Completion(
            text=answer.text,
            model=answer.model,
            finish_reason=answer.finish_reason,
            usage=Usage(answer.prompt_tokens, answer.completion_tokens),
        )

    def figures(self) -> Figures:
        """Give what the endpoint did so far; only while its event loop runs."""
        return self._engine.figures()

    async def _answer(self, request: Request) -> Answer:
        messages = msgspec.to_builtins(request.messages, builtin_types=())
        body: dict[str, Any] = {**request.parameters, "model": request.model, "messages": list(messages)}
        try:
            return await self._engine.answer(body)
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
    family = RateLimited if reply.status == 429 else Unavailable
    return family(
        f"the simulated endpoint answered {reply.status}",
        status=reply.status,
        retry_after=reply.retry_after,
        code=reply.code,
    )
