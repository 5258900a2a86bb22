"""Stream records through a model and use the outcomes as they come."""

import asyncio

from streamproc import Completed, DataProcessingPipeline, LlmConfig, PipelineConfig, Task
from streamproc.simulation import SimulatedServer, profile_named


async def main() -> None:
    async with SimulatedServer(profile_named("instant")) as server:  # a real endpoint needs no such line
        config = PipelineConfig(llm=LlmConfig(model="any", base_url=server.url, parameters={"temperature": 0}))
        task = Task(
            render=lambda record: config.request(f"{record.data['city']} is a fine city. Say why."),
            parse=lambda completion: completion.text.upper(),
        )
        cities = [{"city": name} for name in ("Lisbon", "Kyoto", "Lisbon")]
        async with DataProcessingPipeline(config, task=task) as pipeline:
            async for outcome in pipeline.stream(cities):
                if isinstance(outcome, Completed):
                    print(outcome.envelope.record.id, outcome.origin, outcome.value)
        report = pipeline.report
        assert report is not None
        print(f"{report.completed} completed with {report.model_calls} calls")


asyncio.run(main())
