"""The command `run`: from a job to pictures, and what to say about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from stablenew._convert import json_line
from stablenew.app import App, make_backend, open_app
from stablenew.backends.base import Settling
from stablenew.cli.dry_run import describe, dry_steps, plain
from stablenew.cli.exit_codes import ExitCode, exit_code
from stablenew.cli.job import Job
from stablenew.cli.json_lines import JsonLines
from stablenew.cli.progress import LineDisplay, Progress, make_display
from stablenew.cli.rate_command import asker
from stablenew.config.settings import prepare_out_folder
from stablenew.errors import ungrouped
from stablenew.events.event import Event
from stablenew.events.event_log import EVENTS_FILE
from stablenew.events.mailbox import Overflow
from stablenew.learning.gallery import PLAN_FILE
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.report.reporter import CONTACT_SHEET, PAGE

_SETTLED_WITHIN = 60.0
"""Seconds to wait at the end for a server to be rid of what was cancelled."""


@attrs.frozen(kw_only=True)
class Shown:
    """What the person wants to see."""

    json: bool = False
    quiet: bool = False


@attrs.frozen(kw_only=True)
class Ended:
    """How a job ended.

    Attributes:
        folder: The plan's, or the single run's.
        runs: The runs that got as far as a result.
        steps: How many steps ended in which way; empty for a single run.
    """

    outcome: Outcome
    folder: str
    runs: tuple[PipelineRunResult, ...]
    summary: str


async def dry_run(job: Job, as_json: bool) -> ExitCode:
    """Print what would run, as lines or as one JSON object."""
    async with make_backend(job.settings) as backend:
        steps = dry_steps(job, await backend.capabilities())
    print(json_line(plain(steps)).decode() if as_json else "\n".join(describe(job, steps)))
    return ExitCode.SUCCEEDED


async def run_job(
    job: Job, shown: Shown, watch: Callable[[Callable[[], None]], Coroutine[object, object, None]]
) -> ExitCode:
    """Run a job, show its progress, and end by naming the files that it made.

    Args:
        job: What to do.
        shown: What to show of it.
        watch: Run beside the job; may call what it is given to cancel the job.

    Raises:
        ConfigError: The job is wrong; nothing ran.
        BackendUnavailableError: The backend cannot be reached; nothing ran.
    """
    started = time.monotonic()
    lines = JsonLines()
    with ungrouped(), ExitStack() as stack:
        async with open_app(job.settings) as app, anyio.create_task_group() as beside:
            # Everything that can be wrong is said before there is a folder.
            capabilities = await app.pipeline.runner.capabilities()
            await anyio.to_thread.run_sync(dry_steps, job, capabilities)
            await anyio.to_thread.run_sync(prepare_out_folder, job.settings.out)
            beside.start_soon(watch, app.pipeline.cancel)
            if shown.json:
                app.bus.subscribe(Event, lines.take, overflow=Overflow.WAIT, name="json lines")
                beside.start_soon(_cancel_when, lines.broken, app)
            if not shown.quiet:
                asks = job.plan is not None and job.plan.mode == "adaptive"
                display = LineDisplay() if asks else make_display()  # a bar and questions quarrel
                progress = Progress(stack.enter_context(display), str(job.settings.out))
                app.bus.subscribe(Event, progress.take, name="progress")
            for each in () if shown.quiet else app.interrupted:
                print(each, file=sys.stderr)
            ended = await _run(app, job, piped=shown.json or shown.quiet)
            left = await _settle(app)
            await app.reports.drained()
            await app.bus.drain()
            beside.cancel_scope.cancel()
    if lines.problem and not isinstance(lines.problem, BrokenPipeError):
        raise lines.problem
    if not shown.quiet:
        with suppress(BrokenPipeError):  # who reads no further has seen enough
            for line in _closing_lines(app, job, ended, time.monotonic() - started):
                print(line, file=sys.stderr if shown.json else sys.stdout, flush=True)
    if shown.quiet and ended.outcome is not Outcome.SUCCEEDED:
        print(f"stablenew: {ended.summary}", file=sys.stderr)
    for line in _problems(app, ended if left else None):
        print(line, file=sys.stderr)
    return ExitCode.FAILED if lines.problem else exit_code(ended.outcome)


async def _cancel_when(event: anyio.Event, app: App) -> None:
    await event.wait()
    app.pipeline.cancel()


async def _settle(app: App) -> int:
    """Wait until the server is rid of what was cancelled; return how many jobs are left there."""
    backend = app.backend
    if not isinstance(backend, Settling):
        return 0
    if backend.left:
        print("waiting until the server is rid of our job; once more to leave it", file=sys.stderr)
        with anyio.move_on_after(_SETTLED_WITHIN):
            await backend.settled()
    return backend.left


async def _run(app: App, job: Job, *, piped: bool) -> Ended:
    if job.plan is None:
        run = await app.pipeline.run_pipeline(job.config, images=job.images, metadata=job.metadata)
        reason = f": {run.error}" if run.error else ""
        return Ended(
            outcome=run.outcome,
            folder=run.run_id,
            runs=(run,),
            summary=f"the run {run.outcome}{reason}",
        )
    # A person at a terminal is asked here; else the ratings come from `rate`, or from the page.
    rate = asker() if job.plan.mode == "adaptive" and not piped and sys.stdin.isatty() else None
    result = await app.learning.run_learning_plan(
        job.plan, job.config, job.metadata, max_steps=job.max_steps, rate=rate
    )
    counted = {str(key): value for key, value in result.summary.items() if value}
    total = counted.pop("steps", 0)
    counted.pop("outcome", None)
    ways = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counted.items())
    noun = "step" if total == 1 else "steps"
    return Ended(
        outcome=result.outcome,
        folder=result.plan_id,
        runs=tuple(step.run_result for step in result.step_results if step.run_result),
        summary=f"{total} {noun}: {ways}",
    )


def _closing_lines(app: App, job: Job, ended: Ended, seconds: float) -> Iterator[str]:
    pictures = sum(len(run.outputs) for run in ended.runs)
    yield f"{ended.summary}; pictures: {pictures}, in {seconds:.1f} s"
    words = dict.fromkeys(word for run in ended.runs for word in _ignored(run))
    if words:
        yield f"words that the model does not know: {', '.join(words)}"
    for warning in dict.fromkeys(w for run in ended.runs for o in run.outputs for w in o.warnings):
        yield f"note: {warning}"
    for label, path in _files(app, job, ended):
        yield f"{label:<14} {path}"


def _problems(app: App, left_by: Ended | None) -> Iterator[str]:
    for run in left_by.runs if left_by else ():
        for stage in run.stage_results:
            if stage.receipt is not None and not stage.receipt.confirmed:
                yield f"{stage.receipt.request_id}: {stage.receipt.detail or 'unconfirmed'}"
    recorder = app.pipeline.recorder
    if recorder and recorder.problem:
        yield f"records lost: {recorder.failed}; {recorder.problem}"
    if app.reporter.problem:
        yield f"no page or contact sheet: {app.reporter.problem}"


def _files(app: App, job: Job, ended: Ended) -> Iterator[tuple[str, Path]]:
    """Yield what the job left, each with what it is."""
    out = job.settings.out
    names = {
        "page": PAGE,
        "contact sheet": CONTACT_SHEET,
        "plan": PLAN_FILE,
        "metadata": METADATA_FILE,
        "events": EVENTS_FILE,
    }
    for label, name in names.items():
        if (out / ended.folder / name).exists():
            yield label, out / ended.folder / name
    if app.pipeline.recorder and app.pipeline.recorder.recorded:
        yield f"records (+{app.pipeline.recorder.recorded})", job.settings.records_path
    if any(run.outputs for run in ended.runs):
        yield "pictures", out / (ended.folder if job.plan is None else f"{ended.folder}-*")


def _ignored(run: PipelineRunResult) -> list[str]:
    return [word for output in run.outputs for word in output.ignored_words]
