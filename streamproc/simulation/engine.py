"""The simulated endpoint behind both doors: takes decoded bodies, gives answers in due time, keeps count."""

from __future__ import annotations

import anyio
from msgspec import Struct

from streamproc.simulation.driver import Driver
from streamproc.simulation.profiles import Fault, Profile
from streamproc.simulation.question import (
    MalformedRequest,
    Question,
    draw_output_tokens,
    read_question,
    word_answer,
)
from streamproc.simulation.rates import Budget
from streamproc.simulation.service import Accepted, Broken, Rejected, Service
from streamproc.simulation.tally import Figures, Ledger, Tally
from streamproc.simulation.texts import TextKind, TextsQuestion, TooManyTexts, embedding_of, read_texts


class Answer(Struct, frozen=True, kw_only=True):
    """What the model wrote.

    Attributes:
        id: of the request's fingerprint: equal requests get equal ids.
        model: the model that was asked for.
        text: readable and often shorter than `completion_tokens`, never longer.
        finish_reason: `stop`, or `length` where the request's limit cut it.
        prompt_tokens: read.
        completion_tokens: written, in the time that so many take.
    """

    id: str
    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class TextAnswer(Struct, frozen=True):
    """What the model made of one text among others: a continuation, or numbers.

    Attributes:
        text: the continuation.
        finish_reason: `stop`, or `length`.
        embedding: the numbers; `None` for a continuation.
    """

    text: str
    finish_reason: str
    embedding: list[float] | None = None


class TextAnswers(Struct, frozen=True, kw_only=True):
    """What the model made of the texts of one request.

    Attributes:
        question: what was asked.
        answers: one a text, in their order.
        prompt_tokens: read, in all.
        completion_tokens: written, in all.
    """

    question: TextsQuestion
    answers: tuple[TextAnswer, ...]
    prompt_tokens: int
    completion_tokens: int


class Declined(Exception):
    """The endpoint said no; `reply` holds the status, the code and the hint."""

    def __init__(self, reply: Rejected) -> None:
        super().__init__(f"the simulated endpoint answered {reply.status} {reply.code}")
        self.reply = reply


class Spoiled(Exception):
    """No whole answer may reach the client.

    Attributes:
        fault: `reset` (also where the profile says `reset_after_work`), `hang`, `html` or `truncate_body`.
        answer: the finished answer; there only for a fault after the work.
    """

    def __init__(self, fault: Fault, answer: Answer | TextAnswers | None = None) -> None:
        super().__init__(f"the simulated endpoint met the fault {fault}")
        self.fault: Fault = "reset" if fault == "reset_after_work" else fault
        self.answer = answer


class Engine:
    """One simulated endpoint on the event loop's clock; for one loop, with nothing to open or close.

    Args:
        profile: how it behaves.
        seed: of the lengths of its answers and of its faults.
        ledger: gets a line for each billed request.
    """

    def __init__(self, profile: Profile, seed: int = 0, *, ledger: Ledger | None = None) -> None:
        self.profile = profile
        self.tally = Tally(ledger)
        self._seed = seed
        self._service = Service(profile, seed)
        self._driver = Driver(self._service, self._bill)
        self._unfinished: dict[int, list[tuple[Question, int]]] = {}

    async def answer(self, body: object) -> Answer:
        """Answer the decoded JSON body of a chat request, once its turn has come and its tokens are written.

        It does not yield to the event loop where the profile takes no time. On cancellation the client
        counts as gone.

        Raises:
            MalformedRequest: `body` is no chat request.
            Declined: the endpoint rejects it: a limit, a full queue or a fault.
            Spoiled: a fault leaves the client without a whole answer.
            StorageFailed: the ledger could not be written.
        """
        self.tally.requests += 1
        try:
            question = read_question(body)
        except MalformedRequest:
            self.tally.reject(400)
            raise
        tokens, reason = self._length(question)
        accepted = await self._work(question.prompt_tokens, tokens, [(question, tokens)])
        answer = Answer(
            id=f"chatcmpl-{question.fingerprint}",
            model=question.model,
            text=word_answer(question.prompt, tokens),
            finish_reason=reason,
            prompt_tokens=question.prompt_tokens,
            completion_tokens=tokens,
        )
        self._hand_over(accepted, answer)
        return answer

    async def answer_texts(self, body: object, kind: TextKind) -> TextAnswers:
        """Answer the decoded JSON body of a request about texts, once its turn has come and all its texts are done.

        An embedding takes one decode step, one after another. Continuations are written beside each other: the longest
        decides, and what the others write counts as reading. Each text is billed for itself.

        Raises:
            MalformedRequest: `body` is no such request, or one of its texts cannot be taken.
            Declined, Spoiled, StorageFailed: as in `answer`; also for more texts than the endpoint takes.
        """
        self.tally.requests += 1
        try:
            asked = read_texts(body, kind, self.profile)
        except MalformedRequest:
            self.tally.reject(400)
            raise
        except TooManyTexts as error:
            self.tally.reject(413)
            raise Declined(Rejected(413, "too_many_inputs")) from error
        read = sum(question.prompt_tokens for question in asked.questions)
        if kind == "embeddings":
            count = len(asked.questions)
            lengths = [(0, "stop")] * count
            accepted = await self._work(read - count, count, [(question, 0) for question in asked.questions])
        else:
            lengths = [self._length(question) for question in asked.questions]
            written, longest = sum(tokens for tokens, _ in lengths), max(tokens for tokens, _ in lengths)
            billed = [(question, tokens) for question, (tokens, _) in zip(asked.questions, lengths, strict=True)]
            accepted = await self._work(read + written - longest, longest, billed)
        answers = TextAnswers(
            question=asked,
            answers=tuple(
                TextAnswer("", reason, embedding_of(question.model, question.prompt, asked.dimensions))
                if kind == "embeddings"
                else TextAnswer(word_answer(question.prompt, tokens), reason)
                for question, (tokens, reason) in zip(asked.questions, lengths, strict=True)
            ),
            prompt_tokens=read,
            completion_tokens=sum(tokens for tokens, _ in lengths),
        )
        self._hand_over(accepted, answers)
        return answers

    def budget(self) -> Budget:
        """Give the account's limits; ask them with the event loop's time."""
        return self._service.budget

    def figures(self) -> Figures:
        """Give what was done so far, as of now."""
        self._driver.settle()
        return self.tally.figures(
            running=self._service.running,
            queued=self._service.queued,
            peak_running=self._service.peak_running,
        )

    def _length(self, question: Question) -> tuple[int, str]:
        """Give how many tokens are written, and why no more."""
        drawn = draw_output_tokens(self.profile, self._seed, question.fingerprint)
        tokens = min(drawn, question.max_tokens or drawn)
        return tokens, "stop" if tokens == drawn else "length"

    async def _work(self, read: int, written: int, billed: list[tuple[Question, int]]) -> Accepted:
        """Have the service read and write so many tokens, and wait for that."""
        accepted = self._admit(read, written, billed)
        if accepted.ticket in self._unfinished:
            try:
                await self._driver.wait(accepted.ticket)
            finally:
                self._unfinished.pop(accepted.ticket, None)
        return accepted

    def _hand_over(self, accepted: Accepted, answer: Answer | TextAnswers) -> None:
        if accepted.fault is not None:
            self.tally.meet(accepted.fault)
            raise Spoiled(accepted.fault, answer)
        self.tally.answered += 1

    def _admit(self, read: int, written: int, billed: list[tuple[Question, int]]) -> Accepted:
        reply = self._service.arrive(read, written, anyio.current_time())
        if isinstance(reply, Rejected):
            self.tally.reject(reply.status)
            raise Declined(reply)
        if isinstance(reply, Broken):
            self.tally.meet(reply.fault)
            raise Spoiled(reply.fault)
        self._unfinished[reply.ticket] = billed
        self._driver.settle()
        return reply

    def _bill(self, ticket: int) -> None:
        for question, tokens in self._unfinished.pop(ticket):
            self.tally.bill(question, tokens)
