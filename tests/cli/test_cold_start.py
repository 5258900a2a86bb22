"""What is loaded, and when: times are for the benchmark, but which modules a start loads is exact."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.job import Job

OURS_FOR_HELP = {
    "streamproc",
    "streamproc.__main__",
    "streamproc.cli",
    "streamproc.cli.app",
    "streamproc.cli.exits",
    "streamproc.cli.interruptions",
    "streamproc.cli.standard_streams",
    "streamproc.errors",
    "streamproc.observe",
    "streamproc.observe.printable",
    "streamproc.observe.secrets",
    "streamproc.secret",
}
RUN = """
import sys
from streamproc.__main__ import main
sys.argv = ["streamproc", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded(code: str, *arguments: str, **places: object) -> set[str]:
    """Run a program in a fresh interpreter; give the modules that it loaded beyond an interpreter's own."""
    tell = "\nimport sys; sys.stderr.write('\\n' + ' '.join(sys.modules))"
    told = [
        subprocess.run(
            [sys.executable, "-c", program + tell, *arguments], capture_output=True, text=True, check=True, **places
        ).stderr.splitlines()[-1]
        for program in (code, "")
    ]
    return set(told[0].split()) - set(told[1].split())


def not_pythons(modules: set[str]) -> set[str]:
    """Give the packages among modules that neither Python nor this project brings."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"streamproc", "__mp_main__"}


def test_importing_costs_nothing(tmp_path):
    """`import streamproc` loads nothing of other people's, no event loop, and of ours the list of names alone."""
    modules = loaded("import streamproc", cwd=tmp_path)
    assert not_pythons(modules) == set()
    assert {name for name in modules if name.startswith("streamproc")} == {"streamproc"}
    assert not {"asyncio", "logging", "inspect", "json"} & modules


def test_help_costs_little(tmp_path):
    """`streamproc --help` loads click, and of ours what reads a command line; so does a mistake in usage."""
    modules = loaded(RUN, "--help", cwd=tmp_path)
    assert not_pythons(modules) == {"click"}
    assert {name for name in modules if name.startswith("streamproc")} == OURS_FOR_HELP
    assert not {"asyncio", "logging", "subprocess", "importlib.metadata"} & modules


@pytest.mark.parametrize("progress", ["none", "plain", "auto"])
def test_a_run_loads_what_it_uses(tmp_path, command, endpoint, progress):
    """A run whose prompt has plain fields, loads neither Jinja nor what other jobs need."""
    Job(tmp_path, command, endpoint)
    modules = loaded(RUN, "run", "job.yaml", "--progress", progress, cwd=tmp_path, env={**os.environ})
    assert {"httptools", "msgspec", "uvloop", "yaml"} <= not_pythons(modules)
    assert not {"aiohttp", "jinja2", "redis", "pyinstrument", "pydantic"} & not_pythons(modules)
    assert not {"streamproc.simulation", "streamproc.extra", "streamproc.testing"} & modules
