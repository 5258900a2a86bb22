"""The openai SDK with a semaphore: one client for all, a task for each row, as its documentation shows.

The client's defaults hold: it tries twice again, and opens up to 1000 connections. It has no cache, keeps nothing
durable and cannot be resumed; all rows are in memory.
"""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

from bench.peers.work import API_KEY, MAX_TOKENS, MODEL, TEMPERATURE, Job, Row, line_of, open_sink, prompt_of, read_rows


async def run(job: Job) -> None:
    await label(job, AsyncOpenAI(base_url=job.base_url, api_key=API_KEY))


async def label(job: Job, opened: AsyncOpenAI) -> None:
    """Do a job with a client, and close that."""
    limit = asyncio.Semaphore(job.concurrency)
    with open_sink(job) as out:

        async def work(row: Row) -> None:
            async with limit:
                answer = await client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": prompt_of(row)}],
                    temperature=TEMPERATURE,
                    max_tokens=MAX_TOKENS,
                )
            out.write(line_of(row, answer.choices[0].message.content or ""))

        async with opened as client, asyncio.TaskGroup() as tasks:
            for row in read_rows(job):
                tasks.create_task(work(row))
