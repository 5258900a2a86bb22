"""A job in a folder of its own, for tests of the command."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

JOB = """\
source: {{type: jsonl, path: in.jsonl, id_field: id}}
llm: {{base_url: "{url}", deployment: s, model: m, prompt: "Say {{{{ text }}}}", parameters: {{max_tokens: 50}}}}
sink: {{type: {sink}, path: out.{sink}}}
"""


class Job:
    """A job of 30 records in a folder of its own, and the endpoint that it asks."""

    def __init__(self, folder: Path, command: Any, endpoint: Any, sink: str = "jsonl") -> None:
        self.folder = folder
        self.output = folder / f"out.{sink}"
        folder_of = {"jsonl": folder / "out.jsonl.streamproc" / "state.db", "sqlite": self.output}
        self.state = folder_of[sink]
        self._command = command
        self._endpoint = endpoint
        (folder / "job.yaml").write_text(JOB.format(url=endpoint.url, sink=sink))
        (folder / "in.jsonl").touch()
        self.grow(0, 30)

    def grow(self, start: int, stop: int) -> None:
        with (self.folder / "in.jsonl").open("a") as file:
            file.writelines(json.dumps({"id": f"r{n}", "text": f"word {n}"}) + "\n" for n in range(start, stop))

    def __call__(self, name: str, *options: object, **environ: str) -> Any:
        return self._command(name, "job.yaml", *options, **environ)

    def run(self, *options: object, code: int = 0, **environ: str) -> dict[str, Any]:
        """Run to an exit code, and give the summary."""
        ended = self("run", "--summary-json", "-", *options, **environ)
        assert ended.code == code, ended
        summary: dict[str, Any] = json.loads(ended.out)
        return summary

    @property
    def requests(self) -> int:
        """How many requests the endpoint has seen, those of other tests included."""
        with urlopen(self._endpoint.url.removesuffix("/v1") + "/simulation") as answer:
            return int(json.load(answer)["requests"])

    def rows(self, suffix: str = "") -> list[dict[str, Any]]:
        path = self.output.with_name(self.output.name + suffix)
        return [json.loads(line) for line in path.read_text().splitlines()]

    def ids(self) -> Counter[str]:
        return Counter(row["id"] for row in self.rows())
