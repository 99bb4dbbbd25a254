"""What is said when a job has ended: how it ended, what it left, and what went wrong."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from stablenew.app import App
from stablenew.cli.exit_codes import ExitCode, exit_code
from stablenew.cli.job import Job
from stablenew.cli.json_lines import Envelope, JsonLines
from stablenew.cli.large_plans import WORTH_SAYING
from stablenew.cli.outputs import in_few_lines, left_in
from stablenew.cli.printing import say
from stablenew.cli.progress import counted
from stablenew.cli.unfinished import resume_line
from stablenew.errors import ConfigError
from stablenew.pipeline.durations import Estimate
from stablenew.pipeline.results import Failure, Outcome, PipelineRunResult

if TYPE_CHECKING:  # it loads numpy
    from stablenew.advice.joint_advice import JointAdvice


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
        same_pictures: Settings that changed nothing, in words.
        advice: What an adaptive plan advises, None for any other, or where nothing was rated.
    """

    outcome: Outcome
    folder: str
    runs: tuple[PipelineRunResult, ...]
    summary: str
    complete: bool = True
    out_of_time: bool = False
    error: Failure | None = None
    same_pictures: tuple[str, ...] = ()
    advice: JointAdvice | None = None


@attrs.frozen
class Timing:
    """What the closing lines tell beside how it ended.

    Attributes:
        seconds: How long it took.
        estimate: How long it was to take, None where that was not known.
    """

    seconds: float
    estimate: Estimate | None


def say_end(
    app: App,
    job: Job,
    ended: Ended,
    left: Sequence[str],
    lines: JsonLines | None,
    timing: Timing | None,
) -> ExitCode:
    """Say how a job ended and what it left; only what is wrong where nothing is to be told."""
    files, problems = list(_files(app, job, ended)), list(_problems(app, ended, left))
    if lines is not None:
        _fill_in(lines.envelope, job, ended, files, problems)
        if lines.problem and not isinstance(lines.problem, BrokenPipeError):
            raise lines.problem
    if timing is not None:
        with suppress(BrokenPipeError):  # who reads no further has seen enough
            for line in _closing_lines(job, files, ended, timing):
                say(line, err=lines is not None, flush=True)
            if lines is None and sys.stdout.isatty():
                say(window_line(job.settings.out))
    elif ended.outcome is not Outcome.SUCCEEDED:
        say(f"stablenew: {ended.summary}", err=True)
    for line in problems:
        say(line, err=True)
    return _exit_code(app, ended)


def window_line(out: Path) -> str:
    """Return the line that says how to look at a folder of runs in a window of the browser."""
    beside = Path(sys.executable).with_name("stablenew")
    if shutil.which("stablenew") is None and beside.is_file():  # a virtual environment, not entered
        here = beside.is_relative_to(Path.cwd())
        program = str(beside.relative_to(Path.cwd()) if here else beside)
    else:
        program = "stablenew"
    return f"{'in a window':<14} {shlex.join([program, 'studio', '--out', str(out)])}"


def _exit_code(app: App, ended: Ended) -> ExitCode:
    """Return how it ended; where a record was lost it was no success, whatever the steps did."""
    recorder = app.pipeline.recorder
    if recorder and recorder.failed:
        return ExitCode.FAILED
    return exit_code(ended.outcome, out_of_time=ended.out_of_time)


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


def _closing_lines(
    job: Job, files: list[tuple[str, Path]], ended: Ended, timing: Timing
) -> Iterator[str]:
    pictures = [output for run in ended.runs for output in run.outputs]
    expected = ""
    if timing.estimate is not None and timing.estimate.seconds >= WORTH_SAYING:
        expected = f" (estimated: {timing.estimate.span})"
    yield f"{ended.summary}; {counted(pictures)}, in {timing.seconds:.1f} s{expected}"
    words = dict.fromkeys(word for run in ended.runs for word in _ignored(run))
    if words:
        yield f"words that the model does not know: {', '.join(words)}"
    for warning in dict.fromkeys(w for output in pictures for w in output.warnings):
        yield f"note: {warning}"
    for same in ended.same_pictures:
        yield f"note: {same}"
    if ended.advice is not None:
        from stablenew.cli.joint_answer import answer_lines  # loads numpy

        yield from answer_lines(ended.advice)
    if not ended.complete and any(kind == "plan" for kind, _ in files):
        folder = next(path.parent for kind, path in files if kind == "plan")
        yield f"{'go on with':<14} {resume_line(folder, job)}"
    for kind, path in in_few_lines(files):
        yield f"{kind.replace('_', ' '):<14} {path}"


def _problems(app: App, ended: Ended, left: Sequence[str]) -> Iterator[str]:
    if ended.error is not None:
        ours = ended.error.kind == ConfigError.__name__  # which says itself what it is about
        kind = "" if ours else f"{ended.error.kind}: "
        yield f"what ended the plan: {kind}{ended.error}"
    yield from left
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
