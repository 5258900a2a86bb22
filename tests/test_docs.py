"""What the documents show works, and what they name exists."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streamproc.job_files import parse_yaml
from streamproc.pipeline.config import SETTINGS, PipelineConfig
from streamproc.sinks.jsonl import JsonlSinkConfig
from streamproc.sources.csv import CsvSourceConfig

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
EXPECTED = {
    "cache.py": [
        "[3, 5, 3, 3, 5] computed 2 of 5",
        "[6, None, 3]",
        "4 entries, 3 callers coalesced, hit ratio 0.25",
        "['a', 'c'] 1 evicted",
    ],
    "caches_elsewhere.py": ["[9, 16, 9]", "2 computed", "['Lisbon', 'Lisbon', 'Kyoto']"],
    "own_sink.py": ["2 completed", "1 completed", "['0', '1', '2']"],
    "run_from_python.py": ["2 completed, 1 dead letters", "verified"],
    "stream.py": ["3 completed with 2 calls"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(path: Path) -> None:
    """Every program in docs/examples runs and prints what it should, with nothing but this repository."""
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert result.returncode == 0, result.stderr
    for line in EXPECTED[path.name]:
        assert line in result.stdout.splitlines()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file or folder of the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_readmes_job_and_program_are_right() -> None:
    """The job in the README is a valid job, and its Python is valid Python over public names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (job,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    PipelineConfig.from_tree(parse_yaml(job))
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), scope)
    assert callable(scope["main"])


def test_every_setting_is_documented() -> None:
    """docs/operating.md names each key of a job and each variable of the environment."""
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for section in msgspec.structs.fields(PipelineConfig):
        kind = {"source": CsvSourceConfig, "sink": JsonlSinkConfig}.get(section.name, section.type)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                assert field.name in text, f"{section.name}.{field.name}"
        else:
            assert section.name in text
    for name in SETTINGS:
        assert name in text
