"""How far a plan got, as its files say: what is finished, what failed, what killed its process.

What is finished is what has the fingerprint: a step's pictures are those that were made with the
settings that it has now, whatever its number was when they were made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

import attrs
import msgspec

from stablenew._convert import json_line
from stablenew.backends.base import Capabilities
from stablenew.backends.several import unlike
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import ConfigError
from stablenew.events.event_log import EVENTS_FILE, read_events
from stablenew.learning.execution_context import FinishedStep, Resumption
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_plan import LearningPlan, step_run_id
from stablenew.learning.plan_file import StoredPlan
from stablenew.learning.step_plans import plan_steps
from stablenew.pipeline.picture_index import stored_output
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE
from stablenew.pipeline.stage_files import told_hashes
from stablenew.pipeline.stage_plan import StagePlan, plan_stages
from stablenew.pipeline.stage_settings import with_defaults
from stablenew.storage import files
from stablenew.storage.record_reader import NOT_JSON, read_lines

DEATHS_FILE = "deaths.jsonl"
"""In a plan's folder: a line for each time that its process was killed in a step."""

DEADLY = 2
"""Deaths of a step after which it is set aside."""


@attrs.frozen(kw_only=True)
class PlanProgress:
    """How far a plan got.

    Attributes:
        finished: The steps that succeeded, and are recorded where that was wanted.
        run_ids: Of steps whose own run id is that of a finished run of something else.
        failed: The steps that failed, timed out, or were set aside.
        deaths: How often the process was killed in each step.
        added_cells: What an adaptive plan chose on the way.
        sequence: Of the last event.
        ended: Whether its last end was told, good or not.
        complete: Whether nothing is left to do.
        recorded: The runs that have a record.
    """

    finished: Mapping[int, FinishedStep]
    run_ids: Mapping[int, str] = attrs.field(factory=dict)
    failed: frozenset[int]
    deaths: Counter[int]
    added_cells: tuple[int, ...] = ()
    sequence: int
    ended: bool = False
    complete: bool = False
    recorded: frozenset[str] = frozenset()

    def resumption(self, *, only_failed: bool) -> Resumption:
        """Return what a run of the same plan has to know of this."""
        deadly = frozenset(step for step, times in self.deaths.items() if times >= DEADLY)
        return Resumption(
            finished=self.finished,
            run_ids=self.run_ids,
            quarantined=frozenset() if only_failed else deadly,
            only=self.failed | deadly if only_failed else None,
            added_cells=self.added_cells,
            recorded=self.recorded,
        )


_ENDS = ("PlanStarted", "PlanFinished")


class _Event(msgspec.Struct):
    """What is read of an event."""

    type: str
    sequence: int = 0
    values: tuple[str | int | float | bool | None, ...] = ()
    cells: tuple[int, ...] = ()
    had_enough: bool = False
    outcome: str | None = None


@attrs.frozen(kw_only=True)
class _Run:
    """A run of the plan.

    Attributes:
        step: The index of the step that it was made for.
        outputs: The pictures of each stage.
    """

    run_id: str
    step: int
    outcome: str = ""
    outputs: Mapping[str, tuple[StageOutput, ...]] = attrs.field(factory=dict)

    @property
    def final(self) -> tuple[StageOutput, ...]:
        """The pictures of the last stage."""
        return list(self.outputs.values())[-1] if self.outputs else ()

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(output.fingerprint for output in self.final)


def read_plan_progress(
    folder: Path, stored: StoredPlan, capabilities: Capabilities | None = None
) -> PlanProgress:
    """Read how far a plan got; blocks, for a worker thread.

    With learning on, a step without a record is not finished: its pictures are there, so that
    running it again costs nothing but its record.

    Args:
        folder: The plan's.
        stored: What its `plan.json` says.
        capabilities: Of the backend that it goes on with. If given, the pictures are held against
            the settings that each step has now, and against their hashes; else a step's run and
            its files are believed.

    Raises:
        ConfigError: Its runs are somewhere else.
        RecordError: Its events, or the records, cannot be read.
    """
    events = list(read_events(folder / EVENTS_FILE, _Event))
    runs = [_read_run(run) for run in plan_runs(folder)]
    if not runs and any(event.type == "StepFinished" for event in events):
        raise ConfigError(
            f"{folder}: the runs of its steps are not beside it, expected"
            f" {step_run_id(folder.name, 0)} in {folder.resolve().parent}"
        )
    recorded = frozenset(_recorded(folder))
    added = tuple(_added(stored.plan, events))
    if capabilities is None:
        finished, run_ids = _believed(folder, runs), dict[int, str]()
    else:
        wanted = _wanted(stored, capabilities, added)
        finished, run_ids = _matched(folder, stored, runs, wanted)
    if stored.learning_enabled:
        finished = {step: run for step, run in finished.items() if run.run_id in recorded}
    ends = [event for event in events if event.type in _ENDS][-1:]
    failed = (Outcome.FAILED, Outcome.TIMED_OUT)
    return PlanProgress(
        finished={
            step: FinishedStep(run_id=run.run_id, outputs=run.final)
            for step, run in finished.items()
        },
        run_ids=run_ids,
        failed=frozenset(run.step for run in runs if run.outcome in failed) - finished.keys(),
        deaths=Counter(_deaths(folder / DEATHS_FILE)),
        added_cells=added,
        sequence=max((event.sequence for event in events), default=0),
        ended=any(event.type == "PlanFinished" for event in ends),
        complete=_is_complete(stored, finished, ends),
        recorded=recorded,
    )


def prepared_progress(folder: Path, stored: StoredPlan, capabilities: Capabilities) -> PlanProgress:
    """Return how far a plan got, rid of what was half-written; blocks, for a worker thread."""
    for each in (folder, *plan_runs(folder)):  # a kill may come after the end, over the page
        files.clear_temporaries(each)
    return read_plan_progress(folder, stored, capabilities)


def _believed(folder: Path, runs: Iterable[_Run]) -> dict[int, _Run]:
    """Return the run of each step that succeeded and whose files are there, at a glance."""
    return {
        run.step: run
        for run in runs
        if run.outcome == Outcome.SUCCEEDED
        and all(_is_there(folder.parent / output.path) for output in run.final)
    }


def _is_complete(stored: StoredPlan, finished: Collection[int], ends: Iterable[_Event]) -> bool:
    """Return whether nothing is left to do; an adaptive plan says itself when it is at its end."""
    if stored.plan.mode == "adaptive":
        return any(e.outcome == Outcome.SUCCEEDED and not e.had_enough for e in ends)
    count = min(stored.plan.count, stored.max_steps or stored.plan.count)
    return all(step in finished for step in range(count))


def _added(plan: LearningPlan, events: Iterable[_Event]) -> Iterator[int]:
    """Yield the cells that an adaptive plan chose; version 0.1 told its only axis's values."""
    for event in events:
        if event.type == "PlanExtended" and event.cells:
            yield from event.cells
        elif event.type == "PlanExtended":
            there = plan.sweep_values
            yield from (there.index(value) for value in event.values if value in there)


def _wanted(
    stored: StoredPlan, capabilities: Capabilities, added: tuple[int, ...]
) -> Iterator[tuple[int, int, tuple[StagePlan, ...]]]:
    """Yield the index of each step, its pictures, and the stages that it would run now.

    Of several backends that differ, those on each of them: any may have made the pictures.
    """
    others = unlike(capabilities)
    plan = stored.plan.with_cells(added) if added else stored.plan
    what = (plan, stored.config, capabilities, stored.defaults, (), stored.images)
    for step, stages in plan_steps(*what):
        config = with_defaults(step.config_snapshot, stored.defaults) if others else None
        elsewhere = _planned(config, others, stored) if config else ()
        yield step.index, step.images_requested, (stages, *elsewhere)


def _planned(
    config: PipelineConfig, several: Iterable[Capabilities], stored: StoredPlan
) -> Iterator[StagePlan]:
    """Yield what a config would run on each of some backends that can run it."""
    for each in several:
        with suppress(ConfigError):
            yield plan_stages(config, each, stored.images)


def _matched(
    folder: Path,
    stored: StoredPlan,
    runs: Iterable[_Run],
    wanted: Iterable[tuple[int, int, tuple[StagePlan, ...]]],
) -> tuple[dict[int, _Run], dict[int, str]]:
    """Return the finished run of each step, and new ids for steps whose own id is taken."""
    succeeded = [run for run in runs if run.outcome == Outcome.SUCCEEDED]
    by_id = {run.run_id: run for run in succeeded}
    by_fingerprint = {run.fingerprints: run for run in reversed(succeeded)}
    hashes: dict[str, str] = {}
    for output in (output for run in succeeded for output in chain(*run.outputs.values())):
        hashes |= told_hashes(output.settings, output)
    finished: dict[int, _Run] = {}
    run_ids: dict[int, str] = {}
    number = max([stored.plan.most_steps, *(int(run.run_id.rpartition("-")[2]) for run in runs)])
    for index, images, several in wanted:
        own = by_id.get(step_run_id(stored.plan_id, index))
        keys = [
            tuple(stages.fingerprints(images, each)[-1])
            for stages in several
            # As the backend told it then, where it does not tell it now; and as it tells it now.
            for each in (stages.untold(hashes), {})
        ]
        if own is not None and (own.fingerprints in keys or _is_older(own, several[0], images)):
            found: _Run | None = own
        else:
            found = next((by_fingerprint[key] for key in keys if key in by_fingerprint), None)
        if found is not None and all(_is_whole(folder.parent, each) for each in found.final):
            finished[index] = found
        elif own is not None and own is not found:
            run_ids[index] = step_run_id(stored.plan_id, number)
            number += 1
    return finished, run_ids


def _is_older(run: _Run, stages: StagePlan, images: int) -> bool:
    """Return whether a run was made before pictures had fingerprints, and is believed."""
    named = tuple(run.outputs) == stages.names and len(run.final) == images
    return named and set(run.fingerprints) == {""}


def note_death(folder: Path, step: int) -> None:
    """Note that a plan's process was killed in a step; blocks.

    Raises:
        OSError: The disk said no.
    """
    files.append_whole(folder / DEATHS_FILE, json_line({"step": step}) + b"\n", durable=True)


def _deaths(path: Path) -> Iterator[int]:
    for _, line in read_lines(path):
        try:
            yield int(msgspec.json.decode(line)["step"])
        except (*NOT_JSON, KeyError, TypeError, ValueError):
            continue


def _read_run(folder: Path) -> _Run:
    """Return what a run's metadata says; a run that has not ended has no outcome."""
    run = _Run(run_id=folder.name, step=int(folder.name.rpartition("-")[2]) - 1)
    try:
        data = msgspec.json.decode((folder / METADATA_FILE).read_bytes())
        outputs = [stored_output(each) for each in data["stage_outputs"]]
        step = (data.get("metadata") or {}).get("step_index", run.step)
        return attrs.evolve(
            run,
            step=step if isinstance(step, int) else run.step,
            outcome=str(data["outcome"]),
            outputs={
                stage["stage"]: tuple(each for each in outputs if each.stage == stage["stage"])
                for stage in data["stages"]
            },
        )
    except (OSError, *NOT_JSON, KeyError, TypeError, AttributeError, ConfigError):
        return run


def _is_there(path: Path) -> bool:
    """Return whether a picture is there, at a glance."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _is_whole(base_dir: Path, output: StageOutput) -> bool:
    """Return whether a picture is the one that was kept."""
    try:
        data = (base_dir / output.path).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == output.sha256


def _recorded(folder: Path) -> Iterator[str]:
    """Yield the runs of a plan that have a record."""
    named = f'"run_id": "{folder.name}-'.encode()
    for _, line in read_lines(folder.parent / RECORDS_FILE):
        if named in line or named.replace(b": ", b":") in line:
            try:
                yield str(msgspec.json.decode(line)["run_id"])
            except (*NOT_JSON, KeyError, TypeError):
                continue
