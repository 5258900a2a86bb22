"""The answers that were paid for: how they are kept, and which of them may be used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from streamproc._log import log
from streamproc.cache.manager import CacheManager
from streamproc.completions import Completion
from streamproc.errors import NotStorable
from streamproc.flow.storage_pause import StoragePause

OUTPUT_TOKEN_COST = 4.0
"""What a token of an answer costs, in tokens of a prompt: about so much in the price lists of hosted models."""


class Answer(Struct, frozen=True, gc=False):
    """What the cache keeps of a paid call.

    Attributes:
        completion: the answer.
        run: the run that alone may use it again, because it is cut off, filtered or empty; `None` for everybody.
    """

    completion: Completion
    run: str | None = None


def cost_of(answer: Answer) -> float:
    """Give what an answer cost, in tokens of a prompt; at least 1."""
    usage = answer.completion.usage
    return max(1.0, usage.prompt_tokens + OUTPUT_TOKEN_COST * usage.completion_tokens)


class PaidAnswers:
    """Keep answers and look them up, by the fingerprint of what was asked.

    An answer that a run alone may use has a name of its own, so that it never takes a whole one's place. Few runs have
    any, and a miss would cost two lookups; so a mark is kept with each, and where there is none nothing is looked up.

    Args:
        cache: where they are.
        run: this run.
        pause: has answers that cannot be stored tried again.
    """

    def __init__(self, cache: CacheManager[Answer], run: str, pause: StoragePause) -> None:
        self._cache = cache
        self._run = run
        self._pause = pause
        self._mark = f"incomplete:{run}"
        self._marked = self._looked = False

    async def look_up(self, fingerprints: Sequence[str]) -> list[Completion | None]:
        """Give the answers that this run may use, in the same order; `None` where there is none."""
        found = [self._usable(answer) for answer in await self._cache.get_many(fingerprints)]
        missing = [place for place, completion in enumerate(found) if completion is None]
        if missing and await self._has_own():
            own = await self._cache.get_many([self._own(fingerprints[place]) for place in missing])
            for place, answer in zip(missing, own, strict=True):
                found[place] = self._usable(answer)
        return found

    async def keep(self, fingerprint: str, completion: Completion) -> None:
        """Keep an answer; when it returns, it is as safe as the cache makes it. One that cannot be encoded is left out.

        Raises:
            StorageFailed: it could not be stored.
        """
        items = self._items(fingerprint, completion)
        try:
            await self._pause.insist(lambda: self._cache.set_many(items))
        except NotStorable as error:  # it is delivered all the same
            log.warning("answer.not_cached", reason=str(error))

    async def keep_many(self, completions: Mapping[str, Completion]) -> None:
        """Keep answers by their fingerprints, all at once if they all can be encoded; see `keep`."""
        items: dict[str, Answer] = {}
        for fingerprint, completion in completions.items():
            items |= self._items(fingerprint, completion)
        try:
            await self._pause.insist(lambda: self._cache.set_many(items))
        except NotStorable:  # a completer of the user's own may give anything; the others' answers are kept
            for fingerprint, completion in completions.items():
                await self.keep(fingerprint, completion)

    def _items(self, fingerprint: str, completion: Completion) -> dict[str, Answer]:
        if completion.complete:
            return {fingerprint: Answer(completion)}
        answer = Answer(completion, self._run)
        self._marked = True
        return {self._own(fingerprint): answer, self._mark: answer}

    def _own(self, fingerprint: str) -> str:
        return f"{fingerprint}:{self._run}"

    def _usable(self, answer: Answer | None) -> Completion | None:
        return answer.completion if answer is not None and answer.run in (None, self._run) else None

    async def _has_own(self) -> bool:
        if not self._looked:
            if await self._cache.get(self._mark) is not None:
                self._marked = True
            self._looked = True
        return self._marked
