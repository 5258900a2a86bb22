"""`streamproc run`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

import msgspec
from msgspec import Struct

from streamproc.cli import exits
from streamproc.cli.interruptions import Interruptions, exit_code, listening
from streamproc.cli.jobs import load_job
from streamproc.cli.own_process import run_quickly
from streamproc.cli.profiling import profiled
from streamproc.cli.steady import SteadyText
from streamproc.cli.summary import summary_of
from streamproc.errors import ConfigError, StorageFailed, first_of
from streamproc.observe.logs import LogFormat, LogLevel, configure
from streamproc.observe.printable import lines
from streamproc.observe.progress import ProgressKind, Screen
from streamproc.observe.secrets import KNOWN
from streamproc.pipeline.config import PipelineConfig
from streamproc.pipeline.pipeline import DataProcessingPipeline
from streamproc.pipeline.report import RunReport
from streamproc.pipeline.supervisor import Watcher


class RunOptions(Struct, frozen=True, kw_only=True):
    """What the command line says about a run, beside the job."""

    settings: list[str]
    limit: int | None = None
    overwrite: bool = False
    summary_json: str | None = None
    progress: ProgressKind = "auto"
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"
    log_bodies: bool = False
    profile: str | None = None


def run_job(job: Path, options: RunOptions) -> int:
    """Run a job from its file, and give the exit code."""
    if options.log_bodies and options.log_level != "debug":
        raise ConfigError(f"--log-bodies: needs --log-level debug, got {options.log_level}")
    config = load_job(job, options.settings)
    _refuse_unwritable(options.summary_json)
    with profiled(options.profile) as watchers:
        return run_quickly(run_config(config, options, watchers))


async def run_config(config: PipelineConfig, options: RunOptions, watchers: Sequence[Watcher] = ()) -> int:
    """Run a job, show its progress and its summary, and give the exit code.

    Args:
        config: the job.
        options: what else the command line says.
        watchers: look at snapshots, beside the progress.

    Raises:
        StreamprocError: the run could not begin, or failed; the summary is shown all the same.
    """
    as_json = options.log_format == "json"  # then standard error holds nothing else
    steady = cast(TextIO, SteadyText(sys.stderr))
    screen = Screen(steady, "none" if as_json and options.progress == "auto" else options.progress)
    configure(options.log_format, options.log_level, screen.line, colors=screen.is_terminal, bodies=options.log_bodies)
    pipeline = DataProcessingPipeline(config)
    if options.overwrite and config.sink is not None:
        await pipeline.check()  # nothing is discarded for a job that cannot run
        config.sink.discard()
    interruptions = Interruptions()
    with listening(interruptions):
        try:
            with screen.progress() as show:
                return await _run(pipeline, options.limit, [show, *watchers], interruptions)
        finally:
            if pipeline.report is not None:
                if not as_json:
                    screen.line(lines(summary_of(pipeline.report, config)))
                _write_summary(pipeline.report, options.summary_json)


async def _run(
    pipeline: DataProcessingPipeline, limit: int | None, watchers: Sequence[Watcher], interruptions: Interruptions
) -> int:
    try:
        async with asyncio.TaskGroup() as group:
            with interruptions.steering(pipeline, group, asyncio.get_running_loop()):
                report = await pipeline.run(limit=limit, watchers=watchers)
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    if interruptions.first is not None and report.ending == "drained":
        return exit_code(interruptions.first)
    return exits.DEAD_LETTERS if report.dead_letters else exits.COMPLETED


def _refuse_unwritable(target: str | None) -> None:
    """Find out before anything is paid; leaves an empty file where there was none."""
    if target is None or target == "-":
        return
    try:
        Path(target).open("a").close()
    except OSError as error:
        raise ConfigError(f"--summary-json {target}: cannot be written: {error.strerror}") from error


def _write_summary(report: RunReport, target: str | None) -> None:
    if target is None:
        return
    text = msgspec.json.format(msgspec.json.encode(report.as_dict()), indent=2).decode() + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(KNOWN.strike(text), encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"--summary-json {target}: {error.strerror}") from error
