"""A loop by hand over aiohttp: what is left where everything is left out.

It has one session and standing workers. It does not try again, does not check answers, keeps nothing durable and
cannot be resumed. Where prompts repeat it has a dict of answers that only grows; who wants what is under way asks too.
"""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Iterator

import aiohttp

from bench.peers.work import API_KEY, MAX_TOKENS, MODEL, TEMPERATURE, Job, Row, line_of, open_sink, prompt_of, read_rows


async def run(job: Job) -> None:
    answers: dict[str, str] | None = {} if job.cached else None
    headers = {"Authorization": f"Bearer {API_KEY}"}
    connector = aiohttp.TCPConnector(limit=job.concurrency)
    with open_sink(job) as out:

        async def ask(prompt: str) -> str:
            messages = [{"role": "user", "content": prompt}]
            body = {"model": MODEL, "messages": messages, "temperature": TEMPERATURE, "max_tokens": MAX_TOKENS}
            async with session.post(f"{job.base_url}/chat/completions", json=body) as response:
                response.raise_for_status()
                answer = await response.json()
            return str(answer["choices"][0]["message"]["content"])

        async def work(rows: Iterator[Row]) -> None:
            for row in rows:
                prompt = prompt_of(row)
                answer = answers.get(prompt) if answers is not None else None
                if answer is None:
                    answer = await ask(prompt)
                    if answers is not None:
                        answers[prompt] = answer
                out.write(line_of(row, answer))

        async with aiohttp.ClientSession(connector=connector, headers=headers) as session, TaskGroup() as workers:
            rows = iter(read_rows(job))
            for _ in range(job.concurrency):
                workers.create_task(work(rows))
