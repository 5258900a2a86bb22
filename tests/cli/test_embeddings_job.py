"""A job of embeddings from its first run to the proof that it did right, against a simulated endpoint over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from streamproc.simulation import Profile, SimulatedServer
from streamproc.simulation.tally import Figures
from streamproc.simulation.texts import embedding_of
from tests.cli.conftest import served

JOB = """\
source: {{type: jsonl, path: in.jsonl, id_field: id}}
llm: {{base_url: "{url}", deployment: s, endpoint: {kind}, model: m, prompt: "{{{{ text }}}}"{more}}}
batch_processing: {{max_size: 64{batches}}}
sink: {{type: jsonl, path: out.jsonl}}
"""


def figures_of(server: SimulatedServer) -> Figures:
    """Ask over HTTP: the server's event loop is another thread's."""
    with urlopen(server.url.removesuffix("/v1") + "/simulation") as answer:
        return msgspec.json.decode(answer.read(), type=Figures)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("batches", ["", ", adaptive_sizing: false, initial_size: 64"])
def test_one_bad_text_is_one_dead_letter(tmp_path: Path, command: Any, batches: str) -> None:
    """Of 300 texts one is too long for the model, and a request may carry 20: that one is a dead letter, every other
    text has its own vector and was billed once, and the same command sends nothing more."""
    profile = Profile(name="p", max_inputs=20, max_input_tokens=50, embedding_dimensions=4)
    texts = ["long " * 100 if number == 123 else f"word {number}" for number in range(300)]
    lines = [json.dumps({"id": f"r{number}", "text": text}) + "\n" for number, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    with served(SimulatedServer(profile)) as server:
        (tmp_path / "job.yaml").write_text(JOB.format(url=server.url, kind="embeddings", more="", batches=batches))
        assert '"input": [\n    "word 0"\n  ]' in command("check", "job.yaml").out
        ended = command("run", "job.yaml", "--summary-json", "-")
        assert ended.code == 1, ended
        summary = json.loads(ended.out)
        figures = figures_of(server)
        (dead,) = rows(tmp_path / "out.jsonl.dead.jsonl")
        assert (dead["id"], dead["error"]["type"], dead["error"]["status"]) == ("r123", "rejected", 400)
        output = {row["id"]: row for row in rows(tmp_path / "out.jsonl")}
        assert len(output) == 299
        for number, text in enumerate(texts):
            if number != 123:
                assert output[f"r{number}"]["output"] == embedding_of("m", text, 4)
        assert sum(row["usage"]["prompt_tokens"] for row in output.values()) == figures.prompt_tokens
        assert (figures.billed, figures.billed_again) == (299, 0)
        assert summary["model_calls"] == figures.requests < 100
        assert summary["prompt_tokens"] == figures.prompt_tokens
        assert command("verify", "job.yaml").code == 0
        again = command("run", "job.yaml")
        assert (again.code, figures_of(server).requests) == (1, figures.requests), again
        over = command("run", "job.yaml", "--overwrite")
        assert over.code == 1
        assert figures_of(server).billed == 299  # answers that were paid for are found again


def test_texts_are_continued(tmp_path: Path, command: Any) -> None:
    """A job of completions: each record's output is the continuation of its own prompt."""
    (tmp_path / "in.jsonl").write_text(
        "".join(f'{{"id": "r{n}", "text": "Word {n}. And so on."}}\n' for n in range(50))
    )
    with served(SimulatedServer(Profile(name="p"))) as server:
        more = ", parameters: {temperature: 0, max_tokens: 50}"
        (tmp_path / "job.yaml").write_text(JOB.format(url=server.url, kind="completions", more=more, batches=""))
        assert command("run", "job.yaml").code == 0
        assert figures_of(server).requests < 25
    output = {row["id"]: row["output"] for row in rows(tmp_path / "out.jsonl")}
    assert output == {f"r{n}": f"Word {n}." for n in range(50)}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", system_prompt: Be brief.", "llm.system_prompt: must not be set with endpoint embeddings"),
        (", parameters: {input: x}", "llm.parameters.input: is not a parameter here"),
    ],
)
def test_what_has_no_place_is_refused(tmp_path: Path, command: Any, more: str, said: str) -> None:
    """Settings that an endpoint without messages has no place for are mistakes."""
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "x"}\n')
    job = JOB.format(url="http://127.0.0.1:1/v1", kind="embeddings", more=more, batches="")
    (tmp_path / "job.yaml").write_text(job)
    ended = command("check", "job.yaml")
    assert ended.code == 2
    assert said in ended.err
