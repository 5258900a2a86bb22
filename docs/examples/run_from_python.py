"""Do from Python what `streamproc run` does, then prove it."""

import asyncio
import tempfile
from pathlib import Path

from streamproc import DataProcessingPipeline, PipelineConfig, verify
from streamproc.simulation import SimulatedServer, profile_named

JOB = """
source: {type: jsonl, path: in.jsonl}
llm: {model: any, prompt: "Translate: {{ word }}"}
sink: {type: jsonl, path: out.jsonl}
"""


async def main(folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"word": "house"}\n{"word": "bridge"}\nbroken\n')
    (folder / "job.yaml").write_text(JOB)
    async with SimulatedServer(profile_named("instant")) as server:
        paths = [f"source.path={folder / 'in.jsonl'}", f"sink.path={folder / 'out.jsonl'}"]
        config = PipelineConfig.load(folder / "job.yaml", settings=[*paths, f"llm.base_url={server.url}"])
        report = await DataProcessingPipeline(config).run()
        print(f"{report.completed} completed, {report.failed} dead letters")
        proof = await verify(config)
        print("verified" if not proof.problems else proof.problems)


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
