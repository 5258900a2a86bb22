"""The command line: its subcommands and their options. What each does stands in a file of its own.

That file is loaded when its subcommand runs, so that `--help` and mistakes in usage answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from streamproc.cli.exits import errors_as_exits

F = TypeVar("F", bound=Callable[..., Any])

_job = click.argument("job", metavar="JOB.yaml", type=click.Path(path_type=Path))
_progress = click.option(
    "--progress",
    type=click.Choice(["auto", "rich", "plain", "none"]),
    default="auto",
    show_default=True,
    help="How progress is shown.",
)
_overwrite = click.option("--overwrite", is_flag=True, help="Discard earlier output and start anew.")


def _settings(*, input: bool = True) -> Callable[[F], F]:  # noqa: A002 - the option's name
    """Give a subcommand the options that change its job: --set, --input and --output."""
    options: list[Callable[[F], F]] = [
        click.option(
            "--set",
            "settings",
            metavar="KEY=VALUE",
            multiple=True,
            help="Set a key of the job, such as llm.model=NAME. Repeatable.",
        )
    ]
    if input:
        options.append(click.option("--input", metavar="PATH", help="In place of source.path."))
    options.append(click.option("--output", metavar="PATH", help="In place of sink.path."))

    def with_options(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return with_options


class _InOrder(click.Group):
    """Lists its subcommands in the order in which they stand here: the ones that people need first."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder)
@click.version_option(package_name="streamproc", message="%(package)s %(version)s")
def streamproc() -> None:
    """Send thousands to millions of records through a language model, each exactly once."""


@streamproc.command()
@_job
@_settings()
@click.option("--limit", type=click.IntRange(min=1), help="Accept at most N records this time.")
@_overwrite
@click.option("--summary-json", metavar="PATH|-", help="Write the figures as JSON; - for standard output.")
@_progress
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default="console",
    show_default=True,
    help="How log lines look.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least that is logged.",
)
@click.option("--log-bodies", is_flag=True, help="With --log-level debug: show what is sent and answered.")
@click.option("--profile", metavar="PATH.html", help="Write where this process spends its time, as a page to look at.")
def run(
    job: Path,
    settings: tuple[str, ...],
    input: str | None,  # noqa: A002 - the option's name
    output: str | None,
    log_format: Literal["console", "json"],
    **options: Any,
) -> None:
    """Run a job, or continue it where it stopped."""
    with errors_as_exits(log_format):
        from streamproc.cli.run import RunOptions, run_job

        given = with_paths(settings, input, output)
        raise SystemExit(run_job(job, RunOptions(settings=given, log_format=log_format, **options)))


@streamproc.command()
@_job
@_settings()
def check(job: Path, settings: tuple[str, ...], input: str | None, output: str | None) -> None:  # noqa: A002
    """Validate a job; show its settings and its first request. Uses no network."""
    with errors_as_exits():
        from streamproc.cli.check import check_job

        raise SystemExit(check_job(job, with_paths(settings, input, output)))


@streamproc.command()
@_job
@_settings()
def verify(job: Path, settings: tuple[str, ...], input: str | None, output: str | None) -> None:  # noqa: A002
    """Prove that every input record ended exactly once, and that output and state agree."""
    with errors_as_exits():
        from streamproc.cli.verify import verify_job

        raise SystemExit(verify_job(job, with_paths(settings, input, output)))


@streamproc.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--profile", default="hosted", show_default=True, help="How it behaves; see docs/operating.md.")
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds, equal behaviour.")
@click.option("--api-key", help="Refuse any other key.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Append a line for each request that was billed.")
def simulate(port: int, profile: str, seed: int, api_key: str | None, ledger: Path | None) -> None:
    """Serve an OpenAI-compatible endpoint that behaves like a real engine under load."""
    with errors_as_exits():
        from streamproc.cli.simulate import serve

        serve(port, profile, seed, api_key, ledger)


@streamproc.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("streamproc-demo"),
    show_default=True,
    help="Where everything is put.",
)
@_overwrite
@_progress
def demo(folder: Path, overwrite: bool, progress: Literal["auto", "rich", "plain", "none"]) -> None:
    """Do the main job on real text, with a simulated endpoint and nothing to configure."""
    with errors_as_exits():
        from streamproc.cli.demo import run_demo

        raise SystemExit(run_demo(folder, overwrite, progress))


@streamproc.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, metavar="[SCENARIO]...", type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure against loops by hand, as ratios. Needs the source checkout; --list shows what is measured."""
    with errors_as_exits():
        from streamproc.cli.bench import run_bench

        raise SystemExit(run_bench(list(arguments)))


@streamproc.group("cache")
def cache_commands() -> None:
    """Look at or clean the answers that a job keeps."""


@cache_commands.command("stats")
@_job
@_settings(input=False)
def cache_stats(job: Path, settings: tuple[str, ...], output: str | None) -> None:
    """Show what a job's cache holds."""
    with errors_as_exits():
        from streamproc.cli.cache import stats

        stats(job, with_paths(settings, None, output))


@cache_commands.command("prune")
@_job
@_settings(input=False)
def cache_prune(job: Path, settings: tuple[str, ...], output: str | None) -> None:
    """Remove answers whose time is over."""
    with errors_as_exits():
        from streamproc.cli.cache import prune

        prune(job, with_paths(settings, None, output))


@cache_commands.command("clear")
@_job
@_settings(input=False)
def cache_clear(job: Path, settings: tuple[str, ...], output: str | None) -> None:
    """Remove all answers; they are paid again when they are needed again."""
    with errors_as_exits():
        from streamproc.cli.cache import clear

        clear(job, with_paths(settings, None, output))


def with_paths(settings: Sequence[str], source: str | None, sink: str | None) -> list[str]:
    """Give the settings with those that --input and --output stand for; the path goes in as a quoted YAML text."""
    given = list(settings)
    for place, path in (("source.path", source), ("sink.path", sink)):
        if path is not None:
            quoted = path.replace("'", "''")
            given.append(f"{place}='{quoted}'")
    return given


def main() -> None:
    """Run the command; ends the process with one of the documented exit codes."""
    streamproc(prog_name="streamproc")
