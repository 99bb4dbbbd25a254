"""How far a plan got, as its files say: what is finished, what failed, what killed its process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec

from stablenew._convert import json_line
from stablenew.config.pipeline_config import Setting
from stablenew.config.settings import RECORDS_FILE
from stablenew.errors import ConfigError
from stablenew.events.event_log import EVENTS_FILE, read_events
from stablenew.learning.gallery import plan_runs
from stablenew.learning.learning_plan import Resumption
from stablenew.learning.plan_file import StoredPlan
from stablenew.pipeline.picture_index import stored_output
from stablenew.pipeline.results import Outcome, StageOutput
from stablenew.pipeline.run_metadata import METADATA_FILE, final_outputs
from stablenew.storage import files
from stablenew.storage.record_reader import read_lines

DEATHS_FILE = "deaths.jsonl"
"""In a plan's folder: a line for each time that its process was killed in a step."""

DEADLY = 2
"""Deaths of a step after which it is set aside."""


@attrs.frozen(kw_only=True)
class PlanProgress:
    """How far a plan got.

    Attributes:
        finished: The pictures of each step that succeeded, and is recorded where that was wanted.
        failed: The steps that failed, timed out, or were set aside.
        deaths: How often the process was killed in each step.
        added_values: The values that an adaptive plan chose on the way.
        sequence: Of the last event.
        ended: Whether its last end was told, good or not.
        complete: Whether nothing is left to do.
        recorded: The runs that have a record.
    """

    finished: dict[int, tuple[StageOutput, ...]]
    failed: frozenset[int]
    deaths: Counter[int]
    added_values: tuple[Setting, ...]
    sequence: int
    ended: bool = False
    complete: bool = False
    recorded: frozenset[str] = frozenset()

    def resumption(self, *, only_failed: bool) -> Resumption:
        """Return what a run of the same plan has to know of this."""
        deadly = frozenset(step for step, times in self.deaths.items() if times >= DEADLY)
        return Resumption(
            finished=self.finished,
            quarantined=frozenset() if only_failed else deadly,
            only=self.failed | deadly if only_failed else None,
            added_values=self.added_values,
            recorded=self.recorded,
        )


_ENDS = ("PlanStarted", "PlanFinished")


class _Told(msgspec.Struct):
    """What is read of an event."""

    type: str
    sequence: int = 0
    values: tuple[str | int | float | bool | None, ...] = ()
    outcome: str | None = None


def read_plan_progress(folder: Path, stored: StoredPlan) -> PlanProgress:
    """Read how far a plan got; blocks, for a worker thread.

    With learning on, a step without a record is not finished: its pictures are there, so that
    running it again costs nothing but its record.

    Args:
        folder: The plan's.
        stored: What its `plan.json` says.
    """
    finished: dict[int, tuple[StageOutput, ...]] = {}
    failed: set[int] = set()
    records = frozenset(_recorded(folder))
    for run in plan_runs(folder):
        index = int(run.name.rpartition("-")[2]) - 1
        outcome, outputs = _read_run(run / METADATA_FILE)
        there = all(_is_there(folder.parent / output.path) for output in outputs)
        recorded = run.name in records or not stored.learning_enabled
        if outcome == Outcome.SUCCEEDED and there and recorded:
            finished[index] = outputs
        elif outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
            failed.add(index)
    told = list(read_events(folder / EVENTS_FILE, _Told))
    ends = [event for event in told if event.type in _ENDS][-1:]
    count = min(stored.plan.count, stored.max_steps or stored.plan.count)
    complete = set(finished) >= set(range(count))
    if stored.plan.mode == "adaptive":  # which says itself when it is at its end
        complete = any(event.outcome == Outcome.SUCCEEDED for event in ends)
    return PlanProgress(
        finished=finished,
        failed=frozenset(failed),
        deaths=Counter(_deaths(folder / DEATHS_FILE)),
        added_values=tuple(
            v for event in told if event.type == "PlanExtended" for v in event.values
        ),
        sequence=max((event.sequence for event in told), default=0),
        ended=any(event.type == "PlanFinished" for event in ends),
        complete=complete,
        recorded=records,
    )


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
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            continue


def _read_run(path: Path) -> tuple[str | None, tuple[StageOutput, ...]]:
    """Return a run's outcome and the pictures of its last stage; None where it has not ended."""
    try:
        data = msgspec.json.decode(path.read_bytes())
        return str(data["outcome"]), tuple(map(stored_output, final_outputs(data)))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ConfigError):
        return None, ()


def _is_there(path: Path) -> bool:
    """Return whether a picture is there, at a glance; its hash is looked at when it is used."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _recorded(folder: Path) -> Iterator[str]:
    """Yield the runs of a plan that have a record."""
    named = f'"run_id": "{folder.name}-'.encode()
    for _, line in read_lines(folder.parent / RECORDS_FILE):
        if named in line or named.replace(b": ", b":") in line:
            try:
                yield str(msgspec.json.decode(line)["run_id"])
            except (msgspec.DecodeError, KeyError, TypeError):
                continue
