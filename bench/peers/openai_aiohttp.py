"""The openai SDK as in `openai_sdk`, on the aiohttp transport that its documentation offers for many calls at once."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAioHttpClient

from bench.peers.openai_sdk import label
from bench.peers.work import API_KEY, Job


async def run(job: Job) -> None:
    await label(job, AsyncOpenAI(base_url=job.base_url, api_key=API_KEY, http_client=DefaultAioHttpClient()))
