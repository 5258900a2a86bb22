"""litellm: `acompletion` with a semaphore, a task for each row; where prompts repeat, its cache in memory.

Its defaults hold. Equal prompts that are under way at once are all asked. It keeps nothing durable and cannot be
resumed; all rows are in memory.
"""

from __future__ import annotations

import asyncio

import litellm

from bench.peers.work import API_KEY, MAX_TOKENS, MODEL, TEMPERATURE, Job, Row, line_of, open_sink, prompt_of, read_rows


async def run(job: Job) -> None:
    litellm.cache = litellm.Cache() if job.cached else None
    limit = asyncio.Semaphore(job.concurrency)
    with open_sink(job) as out:

        async def work(row: Row) -> None:
            async with limit:
                answer = await litellm.acompletion(
                    model=f"openai/{MODEL}",
                    api_base=job.base_url,
                    api_key=API_KEY,
                    messages=[{"role": "user", "content": prompt_of(row)}],
                    temperature=TEMPERATURE,
                    max_tokens=MAX_TOKENS,
                )
            out.write(line_of(row, answer.choices[0].message.content))

        async with asyncio.TaskGroup() as tasks:
            for row in read_rows(job):
                tasks.create_task(work(row))
