"""The command line: its subcommands and their options. What each does stands in a file of its own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from streamproc.cli.exits import errors_as_exits

app = typer.Typer(
    name="streamproc",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cache_app = typer.Typer(name="cache", help="Look at or clean the answers that a job keeps.", no_args_is_help=True)
app.add_typer(cache_app)


class Progress(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    NONE = "none"


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Job = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.")]
Settings = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the job, such as llm.model=NAME. Repeatable."),
]
Input = Annotated[Optional[str], typer.Option("--input", metavar="PATH", help="In place of source.path.")]  # noqa: UP045
Output = Annotated[Optional[str], typer.Option("--output", metavar="PATH", help="In place of sink.path.")]  # noqa: UP045
ProgressOption = Annotated[Progress, typer.Option("--progress", help="How progress is shown.")]
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="How log lines look.")]
LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", help="The least that is logged.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"streamproc {version('streamproc')}")
        raise typer.Exit


@app.callback()
def streamproc(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Send thousands to millions of records through a language model, each exactly once."""


@app.command()
def run(
    job: Job,
    settings: Settings = None,
    input: Input = None,  # noqa: A002 - the option's name
    output: Output = None,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Accept at most N records this time.")] = None,  # noqa: UP045
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard earlier output and start anew.")] = False,
    summary_json: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--summary-json", metavar="PATH|-", help="Write the figures as JSON; - for standard output."),
    ] = None,
    progress: ProgressOption = Progress.AUTO,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    log_level: LogLevelOption = LogLevel.INFO,
    log_bodies: Annotated[
        bool, typer.Option("--log-bodies", help="With --log-level debug: show what is sent and answered.")
    ] = False,
) -> None:
    """Run a job, or continue it where it stopped."""
    with errors_as_exits(log_format.value):
        from streamproc.cli.run import RunOptions, run_job

        options = RunOptions(
            settings=with_paths(settings, input, output),
            limit=limit,
            overwrite=overwrite,
            summary_json=summary_json,
            progress=progress.value,
            log_format=log_format.value,
            log_level=log_level.value,
            log_bodies=log_bodies,
        )
        raise SystemExit(run_job(job, options))


@app.command()
def check(job: Job, settings: Settings = None, input: Input = None, output: Output = None) -> None:  # noqa: A002
    """Validate a job; show its settings and its first request. Uses no network."""
    with errors_as_exits():
        from streamproc.cli.check import check_job

        raise SystemExit(check_job(job, with_paths(settings, input, output)))


@app.command()
def verify(job: Job, settings: Settings = None, input: Input = None, output: Output = None) -> None:  # noqa: A002
    """Prove that every input record ended exactly once, and that output and state agree."""
    with errors_as_exits():
        from streamproc.cli.verify import verify_job

        raise SystemExit(verify_job(job, with_paths(settings, input, output)))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    profile: Annotated[str, typer.Option(help="How the endpoint behaves; see docs/operating.md.")] = "hosted",
    seed: Annotated[int, typer.Option(help="Equal seeds, equal behaviour.")] = 0,
    api_key: Annotated[Optional[str], typer.Option(help="Refuse any other key.")] = None,  # noqa: UP045
    ledger: Annotated[Optional[Path], typer.Option(help="Append a line for each request that was billed.")] = None,  # noqa: UP045
) -> None:
    """Serve an OpenAI-compatible endpoint that behaves like a real engine under load."""
    with errors_as_exits():
        from streamproc.cli.simulate import serve

        serve(port, profile, seed, api_key, ledger)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything is put.")] = Path("streamproc-demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard earlier output and start anew.")] = False,
    progress: ProgressOption = Progress.AUTO,
) -> None:
    """Do the main job on real text, with a simulated endpoint and nothing to configure."""
    with errors_as_exits():
        from streamproc.cli.demo import run_demo

        raise SystemExit(run_demo(folder, overwrite, progress.value))


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def bench(
    arguments: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[SCENARIO]...", help="See `streamproc bench --help`."),
    ] = None,
) -> None:
    """Measure against loops by hand, as ratios. Needs the source checkout; --list shows what is measured."""
    with errors_as_exits():
        from streamproc.cli.bench import run_bench

        raise SystemExit(run_bench(arguments or []))


@cache_app.command("stats")
def cache_stats(job: Job, settings: Settings = None, output: Output = None) -> None:
    """Show what a job's cache holds."""
    with errors_as_exits():
        from streamproc.cli.cache import stats

        stats(job, with_paths(settings, None, output))


@cache_app.command("prune")
def cache_prune(job: Job, settings: Settings = None, output: Output = None) -> None:
    """Remove answers whose time is over."""
    with errors_as_exits():
        from streamproc.cli.cache import prune

        prune(job, with_paths(settings, None, output))


@cache_app.command("clear")
def cache_clear(job: Job, settings: Settings = None, output: Output = None) -> None:
    """Remove all answers; they are paid again when they are needed again."""
    with errors_as_exits():
        from streamproc.cli.cache import clear

        clear(job, with_paths(settings, None, output))


def with_paths(settings: list[str] | None, source: str | None, sink: str | None) -> list[str]:
    """Give the settings with those that --input and --output stand for; the path goes in as a quoted YAML text."""
    given = list(settings or ())
    for place, path in (("source.path", source), ("sink.path", sink)):
        if path is not None:
            quoted = path.replace("'", "''")
            given.append(f"{place}='{quoted}'")
    return given


def main() -> None:
    """Run the command; ends the process with one of the documented exit codes."""
    app()
