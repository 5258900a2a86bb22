"""LangChain: one chat model, all rows in one `abatch` with `max_concurrency`; where prompts repeat, its memory cache.

Its defaults hold: the openai SDK underneath tries twice again. The cache has no bound, and equal prompts that are
under way at once are all asked. It keeps nothing durable, cannot be resumed, and gives answers when the last one is
there; all rows and answers are in memory.
"""

from __future__ import annotations

from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

from bench.peers.work import API_KEY, MAX_TOKENS, MODEL, TEMPERATURE, Job, line_of, open_sink, prompt_of, read_rows


async def run(job: Job) -> None:
    set_llm_cache(InMemoryCache() if job.cached else None)
    model = ChatOpenAI(
        model=MODEL, base_url=job.base_url, api_key=API_KEY, temperature=TEMPERATURE, max_tokens=MAX_TOKENS
    )
    rows = read_rows(job)
    answers = await model.abatch([prompt_of(row) for row in rows], config={"max_concurrency": job.concurrency})
    with open_sink(job) as out:
        out.writelines(line_of(row, str(answer.content)) for row, answer in zip(rows, answers, strict=True))
