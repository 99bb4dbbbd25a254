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

from stablenew.app import App, make_backend, open_app
from stablenew.backends.base import Capabilities, Settling
from stablenew.cli.dry_run import DryStep, describe, dry_steps, estimated, look_up, plain
from stablenew.cli.exit_codes import ExitCode, exit_code
from stablenew.cli.job import Job
from stablenew.cli.json_lines import Envelope, JsonLines
from stablenew.cli.outputs import left_in
from stablenew.cli.printing import say, say_all
from stablenew.cli.progress import LineDisplay, Progress, counted, make_display
from stablenew.cli.rate_command import asker
from stablenew.cli.unfinished import resume_line, unfinished
from stablenew.config.settings import prepare_out_folder
from stablenew.controller.plan_progress import PlanProgress, read_plan_progress
from stablenew.errors import ungrouped
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.pipeline.durations import Estimate
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult

Watch = Callable[[Callable[[], None]], Coroutine[object, object, None]]

_CANCEL_EVERY = 0.02
_WORTH_SAYING = 5.0
"""Seconds from which on an estimate is said."""

_SETTLED_WITHIN = 60.0
"""Seconds to wait at the end for a server to be rid of what was cancelled."""


@attrs.frozen(kw_only=True)
class Ended:
    """How a job ended.

    Attributes:
        folder: The plan's, or the single run's.
        runs: The runs that got as far as a result.
        summary: How many steps ended in which way.
        complete: Whether nothing is left that `--resume` would do.
        out_of_time: Whether steps were left because they would not have been done in time.
        error: What ended a plan, where that was none of its steps.
    """

    outcome: Outcome
    folder: str
    runs: tuple[PipelineRunResult, ...]
    summary: str
    complete: bool = True
    out_of_time: bool = False
    error: Failure | None = None


async def dry_run(job: Job, lines: JsonLines | None) -> ExitCode:
    """Print what would run, as lines for a person or as one of JSON."""
    _tell_notes(job)
    async with make_backend(job.settings) as backend:
        capabilities = await backend.capabilities()
    job = job.spelled(capabilities)
    steps = await anyio.to_thread.run_sync(dry_steps, job, capabilities)
    progress = await anyio.to_thread.run_sync(_progress, job, capabilities)
    steps = await anyio.to_thread.run_sync(look_up, job, steps, progress)
    estimate = await anyio.to_thread.run_sync(estimated, job, steps)
    if lines is not None:
        lines.tell("dry_run", **plain(steps, estimate))
    else:
        say_all(describe(job, steps, estimate))
    return ExitCode.SUCCEEDED


async def run_job(
    job: Job, watch: Watch, *, lines: JsonLines | None = None, quiet: bool = False
) -> ExitCode:
    """Run a job, show its progress, and end by naming the files that it made.

    Args:
        job: What to do.
        watch: Run beside the job; may call what it is given to cancel the job.
        lines: Print the events to these; their envelope is filled in.
        quiet: Show nothing but errors.

    Raises:
        ConfigError: The job is wrong; nothing ran.
        BackendUnavailableError: The backend cannot be reached; nothing ran.
    """
    started = time.monotonic()
    estimate: Estimate | None = None
    with ungrouped(), ExitStack() as stack:
        async with open_app(job.settings) as app, anyio.create_task_group() as beside:
            _tell_interrupted(app, lines)
            # Everything that can be wrong is said before there is a folder.
            capabilities = await app.pipeline.capabilities()
            job = job.spelled(capabilities)
            steps = await anyio.to_thread.run_sync(dry_steps, job, capabilities)
            progress = await anyio.to_thread.run_sync(_progress, job, capabilities)
            if job.resumed is not None and progress is not None and progress.complete:
                return _say_finished(job.settings.out / job.resumed.plan_id, lines)
            await anyio.to_thread.run_sync(prepare_out_folder, job.settings.out)
            _number_after(progress, app)
            stopped = anyio.Event()
            beside.start_soon(watch, stopped.set)
            beside.start_soon(_cancel_when, stopped, app)
            if lines is not None:
                app.bus.subscribe(Event, lines.take, overflow=Overflow.WAIT, name="json lines")
                beside.start_soon(_cancel_when, lines.broken, app)
            if not quiet:
                asks = job.plan is not None and job.plan.mode == "adaptive"
                display = LineDisplay() if asks else make_display()  # a bar and questions quarrel
                bar = Progress(stack.enter_context(display), str(job.settings.out))
                app.bus.subscribe(Event, bar.take, name="progress")
                _tell_notes(job)
                await _tell_unfinished(job)
                estimate = await _tell_estimate(job, steps, progress)
            ended = await _run(app, job, asks=lines is None and not quiet and sys.stdin.isatty())
            left = await _settle(app)
            await app.reports.drained()
            await app.bus.drain()
            beside.cancel_scope.cancel()
    files, problems = list(_files(app, job, ended)), list(_problems(app, ended, left))
    if lines is not None:
        _fill_in(lines.envelope, job, ended, files, problems)
        if lines.problem and not isinstance(lines.problem, BrokenPipeError):
            raise lines.problem
    if not quiet:
        with suppress(BrokenPipeError):  # who reads no further has seen enough
            for line in _closing_lines(files, ended, time.monotonic() - started, estimate):
                say(line, err=lines is not None, flush=True)
    if quiet and ended.outcome is not Outcome.SUCCEEDED:
        say(f"stablenew: {ended.summary}", err=True)
    for line in problems:
        say(line, err=True)
    return _exit_code(app, ended)


def _exit_code(app: App, ended: Ended) -> ExitCode:
    """Return how it ended; where a record was lost it was no success, whatever the steps did."""
    recorder = app.pipeline.recorder
    if recorder and recorder.failed:
        return ExitCode.FAILED
    return exit_code(ended.outcome, out_of_time=ended.out_of_time)


def _say_finished(folder: Path, lines: JsonLines | None) -> ExitCode:
    """Say that a plan has nothing left to do."""
    if lines is not None:
        lines.envelope.plan_id = folder.name
        lines.envelope.outcome = Outcome.SUCCEEDED
        lines.envelope.files = left_in(folder)
    say(f"{folder.name} is finished; nothing to do", err=True)
    return ExitCode.SUCCEEDED


def _progress(job: Job, capabilities: Capabilities) -> PlanProgress | None:
    """Return how far a plan got that goes on; None for any other job. Blocks."""
    if job.resumed is None:
        return None
    folder = job.settings.out / job.resumed.plan_id
    return read_plan_progress(folder, job.resumed.pinned(capabilities), capabilities)


def _number_after(progress: PlanProgress | None, app: App) -> None:
    """Have a plan that goes on count on; the number after its last event was the envelope's."""
    if progress is not None:
        app.bus.sequence = progress.sequence + 1


async def _tell_estimate(
    job: Job, steps: list[DryStep], progress: PlanProgress | None
) -> Estimate | None:
    """Say how long it will take, where that is known and worth saying."""
    steps = await anyio.to_thread.run_sync(look_up, job, steps, progress)
    estimate = await anyio.to_thread.run_sync(estimated, job, steps)
    if estimate is not None and estimate.seconds >= _WORTH_SAYING:
        say(estimate, err=True)
    return estimate


def _tell_interrupted(app: App, lines: JsonLines | None) -> None:
    """Say what was interrupted, whatever comes next: it is found once."""
    for each in app.interrupted:
        say(each, err=True)
    if lines is not None:
        lines.envelope.interrupted = app.interrupted


def _tell_notes(job: Job) -> None:
    for note in job.notes:
        say(f"note: {note}", err=True)


async def _tell_unfinished(job: Job) -> None:
    """Say which plan like this one was never finished."""
    if job.resumed is None and job.plan is not None:
        for line in await anyio.to_thread.run_sync(unfinished, job):
            say(line, err=True)


def _fill_in(
    envelope: Envelope,
    job: Job,
    ended: Ended,
    files: list[tuple[str, Path]],
    problems: list[str],
) -> None:
    out = job.settings.out
    outputs = [output for run in ended.runs for output in run.outputs]
    if job.plan is None:
        envelope.run_id = ended.folder
    else:
        envelope.plan_id = ended.folder
    envelope.outcome = ended.outcome
    envelope.files = [(kind.partition(" ")[0], path) for kind, path in files if kind != "pictures"]
    envelope.files += [("picture", out / output.path) for output in outputs]
    envelope.pictures, envelope.reused = len(outputs), sum(output.reused for output in outputs)
    envelope.blank = sum(output.blank for output in outputs)
    envelope.errors += problems


async def _cancel_when(event: anyio.Event, app: App) -> None:
    await event.wait()
    while True:  # it may not have begun
        app.pipeline.cancel()
        await anyio.sleep(_CANCEL_EVERY)


async def _settle(app: App) -> int:
    """Wait until the server is rid of what was cancelled; return how many jobs are left there."""
    backend = app.backend
    if not isinstance(backend, Settling):
        return 0
    if backend.left:
        say("waiting until the server is rid of our job; once more to leave it", err=True)
        with anyio.move_on_after(_SETTLED_WITHIN):
            await backend.settled()
    return backend.left


async def _run(app: App, job: Job, *, asks: bool) -> Ended:
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
    rate = asker() if job.plan.mode == "adaptive" and asks else None
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
        complete=result.success and not result.out_of_time and not (only_failed and not_run),
        out_of_time=result.out_of_time,
        error=result.error,
    )


def _closing_lines(
    files: list[tuple[str, Path]], ended: Ended, seconds: float, estimate: Estimate | None
) -> Iterator[str]:
    pictures = [output for run in ended.runs for output in run.outputs]
    expected = ""
    if estimate is not None and estimate.seconds >= _WORTH_SAYING:
        expected = f" (estimated: {estimate.low:.0f} to {estimate.high:.0f} s)"
    yield f"{ended.summary}; {counted(pictures)}, in {seconds:.1f} s{expected}"
    words = dict.fromkeys(word for run in ended.runs for word in _ignored(run))
    if words:
        yield f"words that the model does not know: {', '.join(words)}"
    for warning in dict.fromkeys(w for output in pictures for w in output.warnings):
        yield f"note: {warning}"
    if not ended.complete and any(kind == "plan" for kind, _ in files):
        folder = next(path.parent for kind, path in files if kind == "plan")
        yield f"{'go on with':<14} {resume_line(folder)}"
    for kind, path in files:
        yield f"{kind.replace('_', ' '):<14} {path}"


def _problems(app: App, ended: Ended, left: int) -> Iterator[str]:
    if ended.error is not None:
        yield f"what ended the plan: {ended.error.kind}: {ended.error}"
    for run in ended.runs if left else ():
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
    yield from left_in(out / ended.folder)
    if app.pipeline.recorder and app.pipeline.recorder.recorded:
        yield f"records (+{app.pipeline.recorder.recorded})", job.settings.records_path
    if any(run.outputs for run in ended.runs):
        yield "pictures", out / (ended.folder if job.plan is None else f"{ended.folder}-*")


def _ignored(run: PipelineRunResult) -> list[str]:
    return [word for output in run.outputs for word in output.ignored_words]
