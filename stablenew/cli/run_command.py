"""The command `run`: from a job to pictures, and what to say about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.to_thread

from stablenew.app import App, open_app, open_pool
from stablenew.backends.base import Capabilities
from stablenew.cli.dask_workers import shared_by
from stablenew.cli.dry_run import DryRun, describe, dry_run_of, estimated, look_up, plain
from stablenew.cli.ending import Ended, Timing, say_end
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.job import Job
from stablenew.cli.job_values import LOCAL
from stablenew.cli.json_lines import JsonLines
from stablenew.cli.large_plans import agreed, is_large, tell_estimate
from stablenew.cli.leaving import Stopping, drained
from stablenew.cli.outputs import left_in
from stablenew.cli.printing import say, say_all
from stablenew.cli.progress import LineDisplay, Progress, make_display
from stablenew.cli.rate_command import asker
from stablenew.cli.unfinished import unfinished
from stablenew.config.settings import prepare_out_folder
from stablenew.controller.plan_progress import PlanProgress, read_plan_progress
from stablenew.errors import BackendError, ConfigError, ungrouped
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_execution import Rate
from stablenew.pipeline.durations import Estimate
from stablenew.pipeline.results import Outcome

_CANCEL_EVERY = 0.02
_SAME = 10
"""Settings that changed nothing, at the most, which the closing lines tell."""


async def dry_run(job: Job, lines: JsonLines | None) -> ExitCode:
    """Print what would run, as lines for a person or as one of JSON."""
    _tell_notes(job)
    _check_before_cluster(job)
    # The workers of one that is started here are what this process would be.
    dask = None if job.dask == LOCAL else job.dask
    async with shared_by(dask, None) as shared, open_pool(job.settings, shared.backends) as pool:
        capabilities = await asked_for(pool.capabilities, job)
        for note in pool.notes:
            say(f"note: {note}", err=True)
    job = await job.spelled(capabilities).with_pictures()
    dry = await anyio.to_thread.run_sync(dry_run_of, job, capabilities)
    progress = await anyio.to_thread.run_sync(progress_of, job, capabilities)
    dry = await anyio.to_thread.run_sync(look_up, job, dry, progress)
    estimate = await anyio.to_thread.run_sync(estimated, job, dry)
    if lines is not None:
        lines.tell("dry_run", **plain(dry, estimate))
    else:
        say_all(describe(job, dry, estimate))
    return ExitCode.SUCCEEDED


def _check_before_cluster(job: Job) -> None:
    """See that nothing is wrong with a job before a cluster is looked for, or started.

    Raises:
        ConfigError: With what is wrong.
    """
    if job.dask is not None and job.problems:
        raise ConfigError(*job.problems)


async def asked_for(capabilities: Callable[[], Awaitable[Capabilities]], job: Job) -> Capabilities:
    """Return what a backend has; what is wrong already is said also where it does not answer."""
    try:
        return await capabilities()
    except BackendError:
        if job.problems:
            raise ConfigError(*job.problems) from None
        raise


async def run_job(
    job: Job, stops: Stopping, *, lines: JsonLines | None = None, quiet: bool = False
) -> ExitCode:
    """Run a job, show its progress, and end by naming the files that it made.

    Args:
        job: What to do.
        stops: What ends it from outside.
        lines: Print the events to these; their envelope is filled in.
        quiet: Show nothing but errors.

    Raises:
        ConfigError: The job is wrong; nothing ran.
        BackendUnavailableError: The backend cannot be reached; nothing ran.
    """
    started = time.monotonic()
    estimate: Estimate | None = None
    _check_before_cluster(job)
    with ungrouped(), ExitStack() as stack:
        async with (
            shared_by(job.dask, job.workers) as shared,
            open_app(job.settings, backends=shared.backends, joining=shared.joining) as app,
            anyio.create_task_group() as beside,
        ):
            _tell_interrupted(app, lines)
            # Everything that can be wrong is said before there is a folder.
            capabilities = await asked_for(app.pipeline.capabilities, job)
            job = await job.spelled(capabilities).with_pictures()
            dry = await anyio.to_thread.run_sync(dry_run_of, job, capabilities)
            progress = await anyio.to_thread.run_sync(progress_of, job, capabilities)
            if job.resumed is not None and progress is not None and progress.complete:
                return _say_finished(job.settings.out / job.resumed.plan_id, lines)
            if not quiet:
                _tell_notes(job, app.pool.notes)
                await _tell_unfinished(job)
                estimate = await tell_estimate(job, dry, progress)
                if not await _may_start(job, dry, estimate, lines):
                    return ExitCode.FAILED
            await anyio.to_thread.run_sync(prepare_out_folder, job.settings.out)
            _number_after(progress, app)
            stopped = anyio.Event()
            beside.start_soon(stops.watch, stopped.set)
            beside.start_soon(_cancel_when, stopped, app)
            if lines is not None:
                app.bus.subscribe(Event, lines.take, overflow=Overflow.WAIT, name="json lines")
                beside.start_soon(_cancel_when, lines.broken, app)
            display, lines_alone = None, LineDisplay()
            asks = lines is None and not quiet and sys.stdin.isatty()
            if not quiet:
                rates = job.plan is not None and job.plan.is_adaptive
                # A bar and questions quarrel.
                display = stack.enter_context(lines_alone if rates else make_display())
                person = rates and job.rater is None and asks
                bar = Progress(display, str(job.settings.out), asks=person)
                app.bus.subscribe(Event, bar.take, name="progress")
            ended = await run_on(app, job, asker(held=lines_alone.held) if asks else None)
            left = await drained(app.backends, stops, display)
            await app.reports.drained()
            await app.bus.drain()
            beside.cancel_scope.cancel()
    seconds = time.monotonic() - started
    return say_end(app, job, ended, left, lines, None if quiet else Timing(seconds, estimate))


def _say_finished(folder: Path, lines: JsonLines | None) -> ExitCode:
    """Say that a plan has nothing left to do."""
    if lines is not None:
        lines.envelope.plan_id = folder.name
        lines.envelope.outcome = Outcome.SUCCEEDED
        lines.envelope.files = left_in(folder)
    say(f"{folder.name} is finished; nothing to do", err=True)
    return ExitCode.SUCCEEDED


def progress_of(job: Job, capabilities: Capabilities) -> PlanProgress | None:
    """Return how far a plan got that goes on; None for any other job. Blocks."""
    if job.resumed is None:
        return None
    folder = job.settings.out / job.resumed.plan_id
    return read_plan_progress(folder, job.resumed.pinned(capabilities), capabilities)


def _number_after(progress: PlanProgress | None, app: App) -> None:
    """Have a plan that goes on count on; the number after its last event was the envelope's."""
    if progress is not None:
        app.bus.sequence = progress.sequence + 1


async def _may_start(
    job: Job, dry: DryRun, estimate: Estimate | None, lines: JsonLines | None
) -> bool:
    """Return whether a job starts: a person is asked where it is very large."""
    person = lines is None and sys.stdin.isatty() and sys.stderr.isatty()
    return not (person and not job.yes and is_large(dry, estimate)) or await agreed()


def _tell_interrupted(app: App, lines: JsonLines | None) -> None:
    """Say what was interrupted, whatever comes next: it is found once."""
    for each in app.interrupted:
        say(each, err=True)
    if lines is not None:
        lines.envelope.interrupted = app.interrupted


def _tell_notes(job: Job, more: Sequence[str] = ()) -> None:
    for note in (*job.notes, *more):
        say(f"note: {note}", err=True)


async def _tell_unfinished(job: Job) -> None:
    """Say which plan like this one was never finished."""
    if job.resumed is None and job.plan is not None:
        for line in await anyio.to_thread.run_sync(unfinished, job):
            say(line, err=True)


async def _cancel_when(event: anyio.Event, app: App) -> None:
    await event.wait()
    while True:  # it may not have begun
        app.pipeline.cancel()
        await anyio.sleep(_CANCEL_EVERY)


async def run_on(app: App, job: Job, person: Rate | None = None) -> Ended:
    """Run a job on an app; `person` rates what an exploration makes, where nobody else does."""
    if job.plan is None:
        run = await app.pipeline.run_pipeline(job.config, images=job.images, metadata=job.metadata)
        reason = f": {run.error}" if run.error else ""
        return Ended(
            outcome=run.outcome,
            folder=run.run_id,
            runs=(run,),
            summary="the run was reused" if run.reused else f"the run {run.outcome}{reason}",
        )
    # A person at a terminal is asked here; else the ratings come from `rate`, or from the page.
    rate = job.rater or (person if job.plan.is_adaptive else None)
    only_failed = job.resumed is not None and job.resumed.only_failed
    if job.resumed is not None:
        result = await app.learning.resume_plan(
            job.resumed.plan_id,
            only_failed=only_failed,
            max_seconds=job.max_seconds,
            rate=rate,
            on_this_backend=job.resumed.on_this_backend,
        )
    else:
        result = await app.learning.run_learning_plan(
            job.plan,
            job.config,
            job.metadata,
            max_steps=job.max_steps,
            max_seconds=job.max_seconds,
            rate=rate,
        )
    counted = {str(key): value for key, value in result.summary.items() if value}
    not_run = counted.get("not_run")
    total = counted.pop("steps", 0)
    counted.pop("outcome", None)
    ways = ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in counted.items())
    noun = "step" if total == 1 else "steps"
    return Ended(
        outcome=result.outcome,
        folder=result.plan_id,
        runs=tuple(step.run_result for step in result.step_results if step.run_result),
        summary=f"{total} {noun}: {ways}",
        complete=(
            result.success
            and not result.out_of_time
            and not result.had_enough
            and not (only_failed and not_run)
        ),
        advice=await app.learning.advice(),
        out_of_time=result.out_of_time,
        error=result.error,
        same_pictures=tuple(map(str, result.same_pictures[:_SAME])),
    )
